"""What every metric promises. Authors call ``check_metric(MyMetric)`` in one test."""

import math

import torch
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.evaluation.resampling import of_summed, summands
from mmbench.sequences import END
from mmbench.testing.reference import Reference
from mmbench.testing.subject import Check, promise
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


def _noisy(kind: TargetKind) -> tuple[Tensor, Tensor]:
    """The same with as much noise in the scores."""
    scores, target = _example(kind)
    return scores + scores.std() * torch.randn_like(scores), target


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-6)


def perfect_predictions_score_best(cls: type[Metric]) -> None:
    """Nothing scores as well as the target itself: neither noise nor the same scores everywhere."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        # with one class rarer than the others: equal scores would else be well calibrated
        kept = torch.arange(ROWS) % (2 * N_OUTPUTS) != 0
        scores, target = scores[kept], target[kept]
        best = metric(scores, target)
        rivals = {
            "noise": scores.std() * torch.randn_like(scores),
            "equal scores": torch.zeros_like(scores),
        }
        for what, rival in rivals.items():
            figure = metric(rival, target)
            better = best > figure if cls.higher_is_better else best < figure
            assert better, (
                f"metric {cls.name!r} of {kind}: perfect predictions score {best:.3g} and {what} "
                f"{figure:.3g}, but higher_is_better = {cls.higher_is_better}. Where scores tie, "
                f"take the first or the mean rank, not the best."
            )


def figure_is_a_finite_float(cls: type[Metric]) -> None:
    """A plain finite ``float``, also for constant predictions and where a class never occurs."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        cases = {
            "": (scores, target),
            " of noise": (torch.randn_like(scores), target),
            " of equal scores": (torch.zeros_like(scores), target),
            " where a class never occurs": _lacking(kind, torch.randn_like(scores), target),
        }
        for when, given in cases.items():
            figure = metric(*given)
            assert isinstance(figure, float) and math.isfinite(figure), (
                f"metric {cls.name!r} of {kind}: it gives {figure!r}{when}. Return a float, and a "
                f"number where the formula divides by zero: a slice of the rows may have no more."
            )


def _lacking(kind: TargetKind, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Rows without one class or label, or whose numbers are all alike."""
    if kind == "classification":
        return scores[target != 0], target[target != 0]
    if kind == "multilabel":
        target = target.clone()
        target[:, 0] = 0
    elif kind == "regression":
        target = torch.ones_like(target)
    return scores, target


def figures_lie_between_its_ends(cls: type[Metric]) -> None:
    """No figure is better than ``best`` or worse than ``worst``, where those are stated."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _example(kind)
        for given in (scores, -scores, torch.randn_like(scores)):
            figure = metric(given, target)
            for end, beyond in ((cls.best, metric.sign), (cls.worst, -metric.sign)):
                assert end is None or beyond * (figure - end) < 1e-6, (
                    f"metric {cls.name!r} of {kind}: it gives {figure:.5g}, which is beyond "
                    f"{end:g}. Intervals are cut there: state the true end, or none."
                )


def row_order_does_not_matter(cls: type[Metric]) -> None:
    """The same rows in another order give the same figure, also where scores tie."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _noisy(kind)
        tied = scores.std() * (scores / scores.std()).round()
        for when, given in (("", scores), (", where scores tie,", tied)):
            one = metric(given, target)
            for order in (torch.randperm(ROWS) for _ in range(5)):
                other = metric(given[order], target[order])
                assert _same(one, other), (
                    f"metric {cls.name!r} of {kind}: another order of the rows{when} gives "
                    f"{other:.5g}, not {one:.5g}."
                )


def sums_over_rows_are_the_metric(cls: type[Metric]) -> None:
    """``per_row``, or ``summands`` and ``of_sums``, give the figure: intervals come from them."""
    metric = cls()
    for kind in sorted(cls.targets):
        scores, target = _noisy(kind)
        terms = summands(metric, scores, target)
        if terms is None:
            continue
        figure, of_sums = metric(scores, target), float(of_summed(metric, terms.double().sum(0)))
        assert _same(figure, of_sums), (
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
            scores, target = _noisy(kind)
            ours, theirs = cls()(scores, target), float(reference(scores, target))
            assert _same(ours, theirs), (
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
