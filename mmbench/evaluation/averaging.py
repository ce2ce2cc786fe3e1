"""The mean of JSON documents of one shape, such as the same diagnosis of several seeds."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any


def averaged(documents: Sequence[Any]) -> Any:
    """Numbers by their mean, lists item by item, objects by the keys that all have.

    None where any has None: the mean of a part would not compare with that of the whole. What all
    agree on, such as counts of rows, stays as it is.
    """
    first = documents[0]
    if any(d is None for d in documents):
        return None
    if isinstance(first, dict):
        shared = [key for key in first if all(key in d for d in documents)]
        return {key: averaged([d[key] for d in documents]) for key in shared}
    if isinstance(first, list):
        return [averaged(items) for items in zip(*documents, strict=True)]
    return first if all(d == first for d in documents) else fmean(documents)
