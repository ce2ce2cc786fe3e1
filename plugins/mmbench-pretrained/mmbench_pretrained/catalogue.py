"""All weights there are, by name."""

from mmbench.api import DataUnavailable
from mmbench_pretrained import ge2e, glove, lite0, minilm, whisper
from mmbench_pretrained.package import Weights

CATALOGUE: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        lite0.WEIGHTS, minilm.WEIGHTS, glove.WEIGHTS, whisper.TINY, whisper.BASE, ge2e.WEIGHTS,
    )
}  # fmt: skip


def named(name: str) -> Weights:
    if name not in CATALOGUE:
        raise DataUnavailable(f"There are no weights {name!r}. There are: {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]
