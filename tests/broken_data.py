"""A sound metric and a sound dataset, and bugs of others in splits, scores and noise."""

import math
from dataclasses import replace

import torch

from mmbench.contracts import Dataset, Metric
from mmbench.types import Column, Split, Task


class Accuracy(Metric):
    name = "accuracy"
    targets = frozenset({"classification"})

    def __call__(self, scores, target):
        return (scores.argmax(1) == target).double().mean().item()


class SaysLowerIsBetter(Accuracy):
    higher_is_better = False


class FirstHalf(Accuracy):
    def __call__(self, scores, target):
        return super().__call__(scores[:20], target[:20])


class GivesATensor(Accuracy):
    def __call__(self, scores, target):
        return (scores.argmax(1) == target).double().mean()


class NoVarianceIsNaN(Accuracy):
    def __call__(self, scores, target):
        return super().__call__(scores, target) if scores.std() > 0 else math.nan


class ShiftsInPlace(Accuracy):
    def __call__(self, scores, target):
        return super().__call__(scores.sub_(scores.mean()), target)


class TiesAreRight(Accuracy):
    """A model that says nothing is right everywhere."""

    def __call__(self, scores, target):
        better = scores > scores.gather(1, target.unsqueeze(1))
        return (better.sum(1) == 0).double().mean().item()


class TiesGoByRow(Accuracy):
    """The average precision of class 1, whose ties are in the order of the rows."""

    def __call__(self, scores, target):
        hits = (target[scores[:, 1].argsort(descending=True, stable=True)] == 1).double()
        precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
        return ((precision * hits).sum() / hits.sum()).item()


class RecallOfTheFirstClass(Accuracy):
    def __call__(self, scores, target):
        return super().__call__(scores[target == 0], target[target == 0])


class InPercent(Accuracy):
    best, worst = 1.0, 0.0

    def __call__(self, scores, target):
        return 100 * super().__call__(scores, target)


class CountsMisses(Accuracy):
    def per_row(self, scores, target):
        return scores.argmax(1) != target


class Digits(Dataset):
    name = "digits"
    version = "1"
    task = Task({"image": "image", "word": "text"}, "classification", ("even", "odd"), "accuracy")
    parts = ("train", "val", "test")

    def load(self, part):
        first = 10 * self.parts.index(part)
        source = torch.arange(first, first + 10)
        image = torch.randn(10, 3, generator=torch.Generator().manual_seed(first))
        columns = {
            "image": Column(image),
            "word": Column(("zero", "one"), torch.arange(10) % 3 - 1),  # -1: no word
        }
        return Split(columns, source % 2, {"third": [str(i % 3) for i in range(10)]}, source)


class ValidatesOnTest(Digits):
    parts = ("train", "test", "val")

    def load(self, part):
        return super().load("test" if part == "val" else part)


class DrawsAnew(Digits):
    def load(self, part):
        split = super().load(part)
        return split.with_column("image", Column(torch.randn(10, 3)))


class DrawsOneRowAnew(Digits):
    """The row is none of the few that a glance would meet."""

    def load(self, part):
        split = super().load(part)
        image = split.columns["image"].values.clone()
        image[7] = torch.randn(3)
        return split.with_column("image", Column(image))


class DrawsWhenItIsMade(Digits):
    def __init__(self):
        self.noise = torch.randn(10, 3)

    def load(self, part):
        split = super().load(part)
        return split.with_column("image", Column(split.columns["image"].values + self.noise))


class CannotBeMade(Digits):
    def __init__(self):
        raise RuntimeError("the disk is full")


class LiesAtNoParameter(Digits):
    places = frozenset({"folder"})


class NamesNoMetric(Digits):
    task = replace(Digits.task, metric="acuracy")


class NamesAMetricOfNumbers(Digits):
    task = replace(Digits.task, metric="r2")


class NamesNoKind(Digits):
    task = replace(Digits.task, modalities={"image": "picture", "word": "text"})


class Versionless(Digits):
    version = ""


class NarrowerInTest(Digits):
    def load(self, part):
        split = super().load(part)
        image = split.columns["image"].values
        return split.with_column("image", Column(image[:, :2] if part == "test" else image))


class Infinite(Digits):
    def load(self, part):
        split = super().load(part)
        image = split.columns["image"].values.clone()
        image[3, 1] = torch.inf
        return split.with_column("image", Column(image))


class TooManyClasses(Digits):
    def load(self, part):
        split = super().load(part)
        return Split(split.columns, split.target + 1, split.slices, split.source)


class PointsBeyond(Digits):
    def load(self, part):
        return super().load(part).with_column("word", Column(("zero",), torch.arange(10) % 2))


class TooShort(Digits):
    def load(self, part):
        return super().load(part).with_column("image", Column(torch.ones(9, 3)))


class UnlabelledRows(Digits):
    def load(self, part):
        split = super().load(part)
        return Split(split.columns, split.target, {"third": ["0"] * 9}, split.source)


class SubjectInTwoParts(Digits):
    """Other values of the same subjects: a model remembers instead of understanding."""

    def load(self, part):
        split = super().load(part)
        return Split(split.columns, split.target, split.slices, split.source % 25)


class DropsTheLastBatch(Accuracy):
    """``drop_last`` on a test loader: what does not fill a batch is never scored."""

    def __call__(self, scores, target):
        whole = len(target) // 32 * 32
        return super().__call__(scores[:whole], target[:whole])


# Noise: a sound one, and bugs of others. Each takes (values, features), a severity and a stream.


def sound(values, severity, draw):
    return values + 0.1 * severity * torch.randn(values.shape, generator=draw)


def silences_at_level_zero(values, severity, draw):
    return 0.1 * severity * (values + torch.randn(values.shape, generator=draw))


def adds_in_place(values, severity, draw):
    return values.add_(0.1 * severity * torch.randn(values.shape, generator=draw))


def draws_anew(values, severity, draw):
    return values + 0.1 * severity * torch.randn(values.shape)


def exchanges(values, severity, draw):
    """Exchanges the two ends of a growing share of the rows."""
    swapped = values.clone()
    hit = torch.rand(len(values), generator=draw) < 0.15 * severity
    order = torch.randperm(int(hit.sum()), generator=draw)
    swapped[hit] = values[hit][order]
    return swapped


def swap_that_copies(values, severity, draw):
    swapped = values.clone()
    for i in range(0, len(values) * severity // 6, 2):
        swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]  # both sides are views
    return swapped
