"""torchaudio's ``Wav2Vec2Model`` (wav2vec 2.0, HuBERT, WavLM) on clips of several lengths.

Every clip is encoded as if it were alone, whatever is padding: the model's own forward normalises
the base variants over the padding too, and takes no lengths at all of WavLM. In training no layer
is left out, unlike there.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.encoders._audio import normalised


def encoded(model: Any, clips: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Clips (clips, samples) to the last states (clips, time, dim) and their mask (clips, time).

    ``lengths`` (clips,) in samples, each enough for a first state; see ``fewest_samples``. States
    under the mask mean nothing.
    """
    states, lengths = _convolved(model.feature_extractor, clips, lengths)
    mask = first(lengths, states.shape[1])
    states = model.encoder.feature_projection(states)
    states = states.masked_fill(~mask.unsqueeze(-1), 0.0)  # the next convolution sees padding
    return _transformed(model.encoder.transformer, states, mask), mask


def fewest_samples(model: Any) -> int:
    """How long a clip has to be for one state."""
    samples = 1
    for block in reversed(model.feature_extractor.conv_layers):
        samples = (samples - 1) * block.stride + block.kernel_size
    return samples


def is_standardised(model: Any) -> bool:
    """Whether it was made for clips of mean 0 and variance 1: all with layer normalisation were."""
    return not isinstance(model.feature_extractor.conv_layers[0].layer_norm, nn.GroupNorm)


def _convolved(extractor: Any, clips: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """(clips, time, channels) and how many of them each clip has."""
    states = clips.unsqueeze(1)  # (clips, channels, time)
    for block in extractor.conv_layers:
        states = block.conv(states)
        lengths = (lengths - block.kernel_size).div(block.stride, rounding_mode="floor") + 1
        if isinstance(block.layer_norm, nn.GroupNorm):
            states = normalised(states, first(lengths, states.shape[2]), block.layer_norm)
        elif block.layer_norm is not None:
            states = block.layer_norm(states)
        states = F.gelu(states)
    return states.transpose(1, 2), lengths


def _transformed(transformer: Any, states: Tensor, mask: Tensor) -> Tensor:
    from torchaudio.models.wav2vec2.wavlm_attention import WavLMSelfAttention

    time, bias = mask.shape[1], None
    seen = mask[:, None, None, :].expand(-1, 1, time, time)
    unseen = torch.zeros_like(mask, dtype=states.dtype).masked_fill(~mask, -torch.inf)
    states = states + transformer.pos_conv_embed(states)
    if transformer.layer_norm_first:
        states = transformer.layer_norm(states)
    states = transformer.dropout(states)
    for layer in transformer.layers:
        if isinstance(layer.attention, WavLMSelfAttention):  # the first finds the positions of all
            states, bias = layer(states, position_bias=bias, key_padding_mask=unseen)
        else:
            states, _ = layer(states, attention_mask=seen)
    last: Tensor = states if transformer.layer_norm_first else transformer.layer_norm(states)
    return last


def first(lengths: Tensor, time: int) -> Tensor:
    """(clips, time), True for as many as each clip has."""
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(1)
