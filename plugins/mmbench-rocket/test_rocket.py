"""The contract kit, the formula written slowly, what kernels are like, and the entry point."""

from importlib.metadata import entry_points

import pytest
import torch
from mmbench_rocket import LENGTHS, Rocket

from mmbench.api import Column, Encoded
from mmbench.testing import encoder_contract


def formula(encoder, inputs):
    """One series, one kernel and one step at a time."""
    rows = []
    for series in inputs:
        series = series[~series.isnan().all(1)]
        x = (series - encoder.mean) / encoder.std
        share, highest = [], []
        for k, dilation in enumerate(encoder.dilation.tolist()):
            taps = [(j - 5, w) for j, w in enumerate(encoder.weight[k].tolist()) if w]
            channel, answers = x[:, encoder.channel[k]].tolist(), []
            for t in range(len(channel)):
                read = [(t + offset * dilation, w) for offset, w in taps]
                within = all(0 <= s < len(channel) for s, _ in read)
                if within or not encoder.inside[k]:
                    heard = sum(w * channel[s] for s, w in read if 0 <= s < len(channel))
                    answers.append(heard + float(encoder.bias[k]))
            share.append(sum(a > 0 for a in answers) / max(len(answers), 1))
            highest.append(max(answers, default=0.0))
        rows.append(share + highest)
    return Encoded.vector(torch.tensor(rows, dtype=inputs.dtype))


TestContract = encoder_contract(Rocket, reference=formula, kernels=64)


@pytest.fixture(scope="module")
def rocket():
    return Rocket(Rocket.fit(Column(torch.randn(4, 128, 3))), kernels=2048)


def test_kernels_are_as_in_the_paper(rocket):
    lengths = (rocket.weight != 0).sum(1)
    assert set(lengths.tolist()) == set(LENGTHS)
    assert rocket.weight.sum(1).abs().max() < 1e-5
    assert rocket.bias.min() < -0.99 and rocket.bias.max() > 0.99
    assert (rocket.dilation * (lengths - 1) <= 127).all() and rocket.dilation.max() >= 16
    assert 0.45 < rocket.inside.double().mean() < 0.55


def test_another_seed_draws_other_kernels(rocket):
    assert not torch.equal(Rocket(rocket.fitted, kernels=2048, seed=1).weight, rocket.weight)


def test_it_is_found_by_its_entry_point():
    (entry,) = entry_points(group="mmbench", name="rocket")
    assert entry.load().register_encoders() == [Rocket]
