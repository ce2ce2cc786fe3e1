"""What every metric promises. Authors call ``check_metric(MyMetric)`` in one test."""

import math

import torch
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.evaluation.intervals import of_summed, summands
from mmbench.sequences import END
from mmbench.testing.promises import Check, promise
from mmbench.testing.reference import Reference
from mmbench.types import TargetKind

ROWS, N_OUTPUTS, LENGTH = 48, 3, 6


def check_metric(cls: type[Metric]) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it."""
    for check in metric_checks():
        check(cls)


def _example(kind: TargetKind) -> tuple[Tensor, Tensor]:
    """Perfect scores (rows, n_outputs) and their target; all classes, items and lengths occur."""
    if kind == "classification":
        target = torch.arange(ROWS) % N_OUTPUTS
        return 20 * torch.nn.functional.one_hot(target, N_OUTPUTS).float(), target
    if kind == "multilabel":
        target = (torch.rand(ROWS, N_OUTPUTS) > 0.5).long()
        return 40.0 * target - 20, target
    if kind == "sequence":
        target = torch.randint(1, N_OUTPUTS, (ROWS, LENGTH))
        target[torch.arange(LENGTH) >= LENGTH - torch.arange(ROWS).unsqueeze(1) % 3] = END
        return 20 * torch.nn.functional.one_hot(target, N_OUTPUTS).flatten(1).float(), target
    if kind == "retrieval":
        pairs = torch.arange(ROWS) % (ROWS // 2)  # every pair twice
        side = torch.nn.functional.one_hot(pairs, ROWS // 2).float()
        return torch.cat([side, side], dim=1), torch.stack([pairs, pairs], dim=1)
    target = torch.randn(ROWS)
    return target.unsqueeze(1), target


def perfect_predictions_score_best(cls: type[Metric]) -> None:
    """Nothing scores better than the target itself, and noise scores worse."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        best = metric(scores, target)
        noise = metric(scores.std() * torch.randn_like(scores), target)
        better = best > noise if cls.higher_is_better else best < noise
        assert better, (
            f"metric {cls.name!r} of {kind}: perfect predictions score {best:.3g} and noise "
            f"{noise:.3g}, but higher_is_better = {cls.higher_is_better}."
        )


def figure_is_a_finite_float(cls: type[Metric]) -> None:
    """A plain finite ``float``, also for constant predictions."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        for given in (scores, torch.randn_like(scores), torch.zeros_like(scores)):
            figure = metric(given, target)
            assert isinstance(figure, float) and math.isfinite(figure), (
                f"metric {cls.name!r} of {kind}: it gives {figure!r}. Return a float, and a number "
                f"where the formula divides by zero."
            )


def figures_lie_between_its_ends(cls: type[Metric]) -> None:
    """No figure is better than ``best`` or worse than ``worst``, where those are stated."""
    metric, sign = cls(), 1 if cls.higher_is_better else -1
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        for given in (scores, -scores, torch.randn_like(scores)):
            figure = metric(given, target)
            for end, beyond in ((cls.best, sign), (cls.worst, -sign)):
                assert end is None or beyond * (figure - end) < 1e-6, (
                    f"metric {cls.name!r} of {kind}: it gives {figure:.5g}, which is beyond "
                    f"{end:g}. Intervals are cut there: state the true end, or none."
                )


def row_order_does_not_matter(cls: type[Metric]) -> None:
    """The same rows in another order give the same figure."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        scores = scores + scores.std() * torch.randn_like(scores)
        one = metric(scores, target)
        for order in (torch.randperm(ROWS) for _ in range(5)):
            other = metric(scores[order], target[order])
            assert math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-6), (
                f"metric {cls.name!r} of {kind}: another order gives {other:.5g}, not {one:.5g}."
            )


def sums_over_rows_are_the_metric(cls: type[Metric]) -> None:
    """``per_row``, or ``summands`` and ``of_sums``, give the figure: intervals come from them."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        scores = scores + scores.std() * torch.randn_like(scores)
        terms = summands(metric, scores, target)
        if terms is None:
            continue
        figure, of_sums = metric(scores, target), float(of_summed(metric, terms.double().sum(0)))
        assert math.isclose(figure, of_sums, rel_tol=1e-5, abs_tol=1e-6), (
            f"metric {cls.name!r} of {kind}: it is {figure:.5g}, but {of_sums:.5g} from sums over "
            f"rows. Mend per_row or summands and of_sums, or leave them out: the metric itself is "
            f"then called on each resample."
        )


def arguments_are_never_modified(cls: type[Metric]) -> None:
    """Scores and target are left as they were: the next metric reads them too."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        given = scores.clone(), target.clone()
        metric(*given)
        same = torch.equal(given[0], scores) and torch.equal(given[1], target)
        assert same, f"metric {cls.name!r} of {kind}: it modifies its arguments in place."


def _computes(reference: Reference) -> Check:
    def it_computes_its_formula(cls: type[Metric]) -> None:
        """It gives what its reference formula gives."""
        for kind in sorted(cls.targets):
            scores, target = _example(kind)
            scores = scores + scores.std() * torch.randn_like(scores)
            ours, theirs = cls()(scores, target), float(reference(scores, target))
            assert math.isclose(ours, theirs, rel_tol=1e-5, abs_tol=1e-6), (
                f"metric {cls.name!r} of {kind}: it gives {ours:.5g}, its reference {theirs:.5g}. "
                f"Work a small example by hand: one of the two is not the definition."
            )

    return promise(it_computes_its_formula)


def metric_checks(reference: Reference | None = None) -> tuple[Check, ...]:
    """All promises of a metric, to parametrise a test: each takes the class.

    ``reference(scores, target)`` is its formula, written slowly; it adds a promise.
    """
    own = (
        perfect_predictions_score_best,
        figure_is_a_finite_float,
        figures_lie_between_its_ends,
        row_order_does_not_matter,
        sums_over_rows_are_the_metric,
        arguments_are_never_modified,
    )
    extra = (_computes(reference),) if reference else ()
    return (*(promise(check) for check in own), *extra)
