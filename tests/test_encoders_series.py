"""Encoders of series against their formulas, and what padding does to them: nothing."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmbench.encoders._transformer import sinusoids
from mmbench.encoders.conv1d import Conv1d
from mmbench.encoders.recurrent_series import SeriesGRU, SeriesLSTM
from mmbench.encoders.series_statistics import SeriesStatistics, statistics
from mmbench.encoders.series_transformer import SeriesTransformer
from mmbench.testing import encoder_contract
from mmbench.types import Column, Encoded

NAN = float("nan")
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def described(x: np.ndarray) -> list[float]:
    """Nineteen numbers of one channel (time,), by NumPy and an explicit Fourier sum."""
    n = len(x)
    centred = x - x.mean()
    places = (np.arange(n) + 1) / n
    half, window = 128, np.sin(np.pi * np.arange(256) / 256) ** 2
    padded = np.concatenate([np.zeros(half), centred, np.zeros(2 * 256)])
    energy = np.zeros(129)
    for start in range(0, half + n, half):
        piece = padded[start : start + 256] * window
        for k in range(129):
            wave = np.exp(-2j * math.pi * k * np.arange(256) / 256)
            energy[k] += abs((piece * wave).sum()) ** 2 / 256 / n
    octaves = [energy[2**o : 2 ** (o + 1)].sum() for o in range(6)] + [energy[64:].sum()]
    return [
        x.mean(),
        math.sqrt(x.var() + 1e-4),
        *np.quantile(x, QUANTILES),
        np.polyfit(places, x, 1)[0] if n > 1 else 0.0,
        math.sqrt((np.diff(x) ** 2).mean() + 1e-4),
        (centred[1:] * centred[:-1] < 0).mean(),
        *(math.log(e + 1e-4) for e in octaves),
    ]


def test_statistics_are_their_formulas():
    steps = torch.randn(2, 300, 2, generator=torch.Generator().manual_seed(0)).double().cumsum(1)
    mask = torch.ones(2, 300, dtype=torch.bool)
    mask[1, 120:] = False
    steps[1, 120:] = 0.0
    found = statistics(steps, mask).unflatten(1, (19, 2))
    for row, length in ((0, 300), (1, 120)):
        for channel in range(2):
            expected = described(steps[row, :length, channel].numpy())
            assert found[row, :, channel].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_energy_is_in_the_octave_of_the_pitch():
    """Of sine waves of unit variance; half an octave apart from the edges of the bands."""
    time, mask = torch.arange(2048).double(), torch.ones(1, 2048, dtype=torch.bool)
    for octave in range(2, 7):
        cycles = 1.5 * 2**octave / 256
        wave = (2**0.5 * torch.sin(2 * math.pi * cycles * time)).view(1, -1, 1)
        energies = statistics(wave, mask)[0, 12:].exp()
        assert energies.argmax() == octave
        assert energies[octave] > 50 * (energies.sum() - energies[octave])


def transformer(encoder, inputs):
    """Patch by patch, with torch's own attention over the real ones."""
    tokens, masks = [], []
    for series in inputs:
        real = ~series.isnan().all(1)
        steps = ((series - encoder.standardise.mean) / encoder.standardise.std).nan_to_num()
        steps = F.pad(steps, (0, 0, 0, -len(steps) % encoder.patch))
        patches = steps.split(encoder.patch)
        x = torch.stack([encoder.embed(patch.flatten()) for patch in patches])
        x = x + sinusoids(len(x), encoder.out_dim).double()
        n = -(-int(real.sum()) // encoder.patch)
        mask = torch.arange(len(x)) < n
        for block in encoder.blocks:
            y = block.attention_norm(x)
            mixed, _ = F.multi_head_attention_forward(
                y, y, y, y.shape[1], 4, block.query_key_value.weight, block.query_key_value.bias,
                None, None, False, 0.0, block.out.weight, block.out.bias,
                key_padding_mask=~mask,
            )  # fmt: skip
            x = x + mixed
            x = x + block.feed(block.feed_norm(x))
        tokens.append(encoder.norm(x))
        masks.append(mask)
    tokens, mask = torch.stack(tokens), torch.stack(masks)
    pooled = torch.stack([t[m].mean(0) for t, m in zip(tokens, mask, strict=True)])
    return Encoded(tokens, mask, pooled)


TestSeriesTransformer = encoder_contract(
    SeriesTransformer, reference=transformer, width=32, patch=4
)


@pytest.mark.parametrize(
    "cls", [Conv1d, SeriesGRU, SeriesLSTM, SeriesStatistics, SeriesTransformer]
)
def test_series_padding_changes_nothing(cls):
    series = torch.randn(4, 16, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    encoder = cls(cls.fit(Column(series)))
    short = encoder(series)
    long = encoder(torch.cat([series, torch.full((4, 300, 3), NAN)], dim=1))
    assert torch.allclose(short.pooled, long.pooled, atol=1e-4)
    assert torch.allclose(short.tokens, long.tokens[:, : short.tokens.shape[1]], atol=1e-4)
    assert not long.mask[:, short.tokens.shape[1] :].any()
    series[1] = NAN
    half = encoder(series)
    assert half.present.tolist() == [True, False, True, True]
    assert not half.pooled[1].any()
    if not encoder.frozen:
        half.pooled.square().sum().backward()
        assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)
