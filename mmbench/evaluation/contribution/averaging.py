"""The mean of JSON documents of one shape, such as the same diagnosis of several seeds."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any


def averaged(documents: Sequence[Any]) -> Any:
    """Numbers by their mean, objects key by key; None where any has None.

    Whole numbers that all agree, such as counts of rows, stay whole.
    """
    first = documents[0]
    if any(d is None for d in documents):
        return None
    if isinstance(first, dict):
        return {key: averaged([d[key] for d in documents]) for key in first}
    return first if all(d == first for d in documents) else fmean(documents)
