"""The contract kit, the definition written slowly, an example by hand, and the entry point."""

from importlib.metadata import entry_points

import pytest
import torch
from mmbench_kappa import CohensKappa

from mmbench.testing import metric_contract


def definition(scores, target):
    """Counted row by row."""
    predicted, wanted = scores.argmax(1).tolist(), target.tolist()
    n = len(wanted)
    observed = sum(p == w for p, w in zip(predicted, wanted, strict=True)) / n
    chance = sum(predicted.count(k) * wanted.count(k) for k in set(wanted)) / n**2
    return (observed - chance) / (1 - chance)


TestContract = metric_contract(CohensKappa, reference=definition)


def test_an_example_by_hand() -> None:
    # 20 yes–yes, 5 yes–no, 10 no–yes, 15 no–no: observed 0.7, by chance 0.5
    wanted = torch.tensor([1] * 25 + [0] * 25)
    said = torch.tensor([1] * 20 + [0] * 5 + [1] * 10 + [0] * 15)
    scores = torch.nn.functional.one_hot(said, 2).float()
    assert CohensKappa()(scores, wanted) == pytest.approx(0.4)


def test_one_class_everywhere_is_no_agreement_beyond_chance() -> None:
    assert CohensKappa()(torch.tensor([[1.0, 0.0]] * 4), torch.zeros(4, dtype=torch.long)) == 0.0


def test_it_is_found_by_its_entry_point() -> None:
    (entry,) = entry_points(group="mmbench", name="kappa")
    assert entry.load().register_metrics() == [CohensKappa]
