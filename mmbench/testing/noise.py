"""What every noise promises that is added to data to see who withstands it."""

from collections.abc import Callable
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mmbench.evaluation.robustness.noise import SEVERITIES
from mmbench.testing.subject import Check, promise

Apply = Callable[[Any, int, torch.Generator], Any]
"""Values, a severity from 0 to 5 and a stream of random numbers to the disturbed values."""


def check_noise(noise: Apply, values: Any) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it.

    ``values`` (values, …) is a tensor, or a tuple of texts: a few dozen that differ.
    """
    for check in noise_checks():
        check(noise, values)


def _stream() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def severity_zero_is_the_identity(noise: Apply, values: Any) -> None:
    """At severity 0 nothing is disturbed."""
    far = _distance(values, noise(values, 0, _stream()))
    assert far == 0, (
        f"at severity 0 the values change, by {far:.3g} on average. The curve of robustness starts "
        f"at the undisturbed data: a level of 0 must multiply the noise, not the signal."
    )


def noise_is_never_added_in_place(noise: Apply, values: Any) -> None:
    """The values given are left as they were: the next severity reads them too."""
    before = values if isinstance(values, tuple) else values.clone()
    for severity in SEVERITIES:
        noise(values, severity, _stream())
        assert _same(values, before), (
            f"severity {severity} changes its input in place: the next one is added on top. Use "
            f"x + noise, not x.add_(noise) or x[…] = …"
        )


def one_stream_gives_one_noise(noise: Apply, values: Any) -> None:
    """All randomness comes from the stream that is given."""
    for severity in SEVERITIES:
        one, other = (noise(values, severity, _stream()) for _ in range(2))
        assert _same(one, other), (
            f"severity {severity} differs from call to call with the same stream: two models would "
            f"be asked different things. Pass generator=… to every random function."
        )


def more_severe_is_farther(noise: Apply, values: Any) -> None:
    """The mean distance to the undisturbed values rises with each severity."""
    far = [_distance(values, noise(values, severity, _stream())) for severity in SEVERITIES]
    assert all(less < more for less, more in pairwise(far)), (
        f"the distance to the undisturbed values at severities 0 to 5 is "
        f"{', '.join(f'{d:.3g}' for d in far)}: it must rise. A swap that copies, or a share that "
        f"saturates, does not."
    )


def type_and_shape_stay(noise: Apply, values: Any) -> None:
    """Disturbed values are of the type, shape and precision of those given; gaps stay gaps."""
    for severity in SEVERITIES:
        found = noise(values, severity, _stream())
        fits = type(found) is type(values) and len(found) == len(values)
        if fits and isinstance(values, Tensor):
            fits = found.shape == values.shape and found.dtype == values.dtype
            fits = fits and torch.equal(found.isnan(), values.isnan())
        assert fits, f"severity {severity} changes the type, shape, precision or gaps."


def exchanged_values_are_the_same_ones(noise: Apply, values: Any) -> None:
    """For noise that only exchanges: each value is still there as often as it was."""
    for severity in SEVERITIES:
        found = noise(values, severity, _stream())
        assert torch.equal(_ordered(found), _ordered(values)), (
            f"severity {severity} loses some values and doubles others. In a, b = b, a with "
            f"tensors the right side is a view: index with a permutation instead."
        )


def _ordered(values: Tensor) -> Tensor:
    """All values of each feature (values, features), in order."""
    return values.reshape(len(values), -1).sort(dim=0).values


def _same(a: Any, b: Any) -> bool:
    return a == b if isinstance(a, tuple) else torch.equal(a.nan_to_num(9e9), b.nan_to_num(9e9))


def _distance(a: Any, b: Any) -> float:
    """Mean absolute difference; of texts, the mean share of words that do not match."""
    if isinstance(a, Tensor):
        return float((a.double() - b.double()).abs().nanmean())
    match = [SequenceMatcher(None, x.split(), y.split()).ratio() for x, y in zip(a, b, strict=True)]
    return 1 - sum(match) / len(match)


def noise_checks(*, exchanges: bool = False) -> tuple[Check, ...]:
    """All promises of a noise: each takes it and values; ``exchanges``: it only moves them."""
    own = (
        severity_zero_is_the_identity,
        noise_is_never_added_in_place,
        one_stream_gives_one_noise,
        more_severe_is_farther,
        type_and_shape_stay,
    )
    extra = (exchanged_values_are_the_same_ones,) if exchanges else ()
    return tuple(promise(check) for check in (*own, *extra))
