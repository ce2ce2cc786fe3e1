"""Convolutions inside transformer layers, on mel spectrograms.

Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", Interspeech
2020, in torchaudio's form. Differs from the paper: group instead of batch normalisation, four
frames side by side instead of convolutions of stride 2, no relative positions. Every clip is
encoded as if it were alone, which torchaudio's own forward does not do: its convolutions and group
normalisation see padding.
"""

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._audio import BANDS, MelEncoder, normalised
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Encoded

FRAMES = 4
"""Side by side in one token, of 40 ms."""
HEADS, WIDER, KERNEL = 4, 4, 15
DROPOUT = 0.1


class Conformer(MelEncoder):
    """One token for every 40 ms; pooled is their mean."""

    name = "conformer"
    emits_sequences = True
    offered = "gpu"
    batched = False  # torch's attention branches on values

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Choice(32, 64, 128)] = 64,
        layers: Annotated[int, Choice(1, 2, 4)] = 2,
    ) -> None:
        from torchaudio.models import Conformer as Layers

        super().__init__(fitted)
        self.token = nn.Linear(FRAMES * BANDS, width)
        self.layers = Layers(
            width, HEADS, WIDER * width, layers, KERNEL, dropout=DROPOUT, use_group_norm=True
        )
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        mel, mask = self.spectrograms(inputs)
        short = -mel.shape[1] % FRAMES
        frames = nn.functional.pad(mel * mask.unsqueeze(-1), (0, 0, 0, short))
        tokens = self.token(frames.unflatten(1, (-1, FRAMES)).flatten(2))
        mask = mask[:, ::FRAMES]
        for layer in self.layers.conformer_layers if tokens.shape[0] else ():
            tokens = conformed(layer, tokens, mask)
        return Encoded(tokens, mask)


def conformed(layer: Any, tokens: Tensor, mask: Tensor) -> Tensor:
    """One of torchaudio's layers on tokens (clips, time, width), blind to what is masked."""
    tokens = tokens + layer.ffn1(tokens) / 2
    asked = layer.self_attn_layer_norm(tokens).transpose(0, 1)  # (time, clips, width)
    first = torch.arange(mask.shape[1], device=mask.device) == 0  # seen of a missing clip
    seen, _ = layer.self_attn(
        asked, asked, asked, key_padding_mask=~(mask | first), need_weights=False
    )
    tokens = tokens + layer.self_attn_dropout(seen).transpose(0, 1)
    tokens = tokens + convolved(layer.conv_module, tokens, mask)
    tokens = tokens + layer.ffn2(tokens) / 2
    last: Tensor = layer.final_layer_norm(tokens)
    return last


def convolved(module: Any, tokens: Tensor, mask: Tensor) -> Tensor:
    """The part of a layer that looks at the neighbours of a token: zeros, where there is none."""
    states: Tensor = module.layer_norm(tokens).transpose(1, 2)  # (clips, width, time)
    for part in module.sequential:
        if isinstance(part, nn.GroupNorm):
            states = normalised(states, mask, part)
        elif isinstance(part, nn.Conv1d) and part.groups > 1:
            states = part(states * mask.unsqueeze(1))
        else:
            states = part(states)
    return states.transpose(1, 2)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [Conformer]
