"""Who speaks.

Wan et al., "Generalized End-to-End Loss for Speaker Verification" (GE2E), ICASSP 2018. The weights
are Resemblyzer's (Jemine, 2019). Differs from it: pauses are not cut out first.
"""

import io
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.api import Encoded, Fitted, to_length
from mmbench_pretrained.package import Members, Package, Weights, load_tensors, save_tensors
from mmbench_pretrained.speech import HOP, WINDOW, SpeechEncoder, mel_filters, power_mel
from mmbench_pretrained.store import require

FILE = "resemblyzer/pretrained.pt"
BANDS, WIDTH, LAYERS = 40, 256, 3
SPAN, STEP = 160, 77  # frames of one look: 1.6 s, 1.3 looks a second
COVERED = 0.75
"""The last look is taken if this much of it is sound."""
LOUDNESS = 10 ** (-30 / 20)
"""Root mean square that quieter clips are raised to: −30 dB of full scale."""


def convert(members: Members, folder: Path) -> None:
    checkpoint = torch.load(io.BytesIO(members[FILE]), weights_only=True, map_location="cpu")
    states = checkpoint["model_state"]
    kept = {name: value for name, value in states.items() if not name.startswith("similarity_")}
    save_tensors(kept, folder)


WEIGHTS = Weights(
    "ge2e",
    "GE2E speaker encoder of Resemblyzer; speech → 256",
    "Apache-2.0",
    16,
    (
        Package(
            "Resemblyzer",
            "0.1.4",
            {FILE: "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"},
        ),
    ),
    convert,
)


class GE2E(SpeechEncoder):
    """A token per look of 1.6 s, and their mean, cut to one length."""

    name = "ge2e"
    emits_sequences = True
    window: Tensor
    filters: Tensor

    def __init__(self, fitted: Fitted, *, frozen: bool = True, sample_rate: int = 16_000) -> None:
        super().__init__(fitted, sample_rate)
        self.lstm = nn.LSTM(BANDS, WIDTH, LAYERS, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.load_state_dict(load_tensors(require(WEIGHTS)))
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("filters", mel_filters(BANDS))
        self.out_dim, self.frozen = WIDTH, frozen
        self.requires_grad_(not frozen)

    def forward(self, inputs: Tensor) -> Encoded:
        clips, lengths = self.clips(inputs)
        looks, mask = self._looks(raised(clips, lengths), lengths)  # (clips, looks, SPAN, BANDS)
        _, (last, _) = self.lstm(looks.flatten(0, 1))
        tokens = F.normalize(F.relu(self.linear(last[-1])), dim=1, eps=1e-6)
        encoded = Encoded(tokens.unflatten(0, mask.shape), mask)
        return to_length(encoded)

    def _looks(self, clips: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Mel frames of every look, and which looks are at their clip's own sound."""
        frames = clips.shape[1] / HOP
        count = 1 + max(0, int((frames - COVERED * SPAN) // STEP))
        whole = ((count - 1) * STEP + SPAN) * HOP
        beyond = max(0, whole - clips.shape[1])
        padded = F.pad(clips[:, :whole], (WINDOW // 2, beyond + WINDOW // 2))
        mel = power_mel(padded, self.window, self.filters)
        looks = mel.unfold(1, SPAN, STEP).transpose(2, 3)
        starts = torch.arange(count, device=clips.device) * STEP * HOP
        enough = lengths[:, None] - starts >= COVERED * SPAN * HOP
        return looks[:, :count], (enough | (starts == 0)) & (lengths > 0)[:, None]


def raised(clips: Tensor, lengths: Tensor) -> Tensor:
    """Quiet clips at −30 dB; loud ones, and silence, as they are."""
    power = clips.square().sum(1) / lengths.clamp(min=1)
    gain = LOUDNESS / power.clamp(min=1e-12).sqrt()
    return clips * gain.clamp(min=1).masked_fill(power < 1e-12, 1)[:, None]
