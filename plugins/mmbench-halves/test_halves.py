"""The contract kit, the facts of the data, and the entry point."""

from importlib.metadata import entry_points

import torch
from mmbench_halves import DigitHalves
from sklearn.datasets import load_digits

from mmbench.testing import dataset_contract

TestContract = dataset_contract(DigitHalves)


def test_both_halves_make_the_image_again() -> None:
    found = load_digits()
    rows = 0
    for part in ("train", "val", "test"):
        split = DigitHalves().load(part)
        halves = [split.columns[m].values for m in ("left", "right")]
        whole = torch.cat(halves, dim=3)[:, 0] / 15
        assert torch.equal(whole, torch.from_numpy(found.images)[split.source].float())
        assert split.target.tolist() == found.target[split.source].tolist()
        rows += len(split)
    assert rows == len(found.target) == 1797


def test_every_digit_is_in_every_part() -> None:
    for part in ("train", "val", "test"):
        counts = DigitHalves().load(part).target.bincount(minlength=10)
        assert counts.min() > 0.07 * counts.sum()


def test_it_is_found_by_its_entry_point() -> None:
    (entry,) = entry_points(group="mmbench", name="halves")
    assert entry.load().register_datasets() == [DigitHalves]
