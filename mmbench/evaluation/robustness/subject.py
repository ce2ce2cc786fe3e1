"""One model, and what it scores after a disturbance.

A score is a tensor: on the rows as they are, and then on resamples of them, if there are any.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Encoder
from mmbench.errors import TrainingDiverged
from mmbench.evaluation.robustness.noise import Noise
from mmbench.features import encode_in_batches
from mmbench.seeds import stream
from mmbench.types import Column, Encoded, Split, Values

Score = Callable[[Split], Tensor | float]
"""The main metric of the model on a split whose columns are encoded: on its rows, then on every
resample of them; or on its rows alone."""
Change = Callable[[str, torch.Generator], Column]
"""The encoded column that takes the place of a modality's own."""

Encode = Callable[[str, Encoder, Values], Encoded]
"""What the encoder of a modality makes of values as the dataset has them."""

log = logging.getLogger(__name__)


def encode_now(_modality: str, encoder: Encoder, values: Values) -> Encoded:
    return encode_in_batches(encoder, encoder.prepare(values))  # type: ignore[arg-type]


@dataclass
class Subject:
    """A model and the rows it is asked of; each undisturbed modality is encoded once."""

    rows: Split
    """As the dataset loaded them, values in memory."""
    encoders: Mapping[str, Encoder]
    """Of the modalities that the model reads."""
    score: Score
    seed: int
    encode: Encode = encode_now
    encoded: Split = field(init=False)
    clean: Tensor = field(init=False)

    def __post_init__(self) -> None:
        columns = {m: self._encode(m, self.rows.columns[m]) for m in self.encoders}
        self.encoded = replace(self.rows, columns=columns)
        self.clean = self._finite(self.encoded)

    def rearranged(
        self, what: str, modalities: Sequence[str], change: Callable[..., Column]
    ) -> Tensor | None:
        """The score when ``change(column, draw=…)`` says which value each row has."""
        return self._after(
            what, modalities, lambda m, draw: change(self.encoded.columns[m], draw=draw)
        )

    def corrupted(self, modality: str, noise: Noise[Any], severity: int) -> Tensor | None:
        """The score when raw values are disturbed, each distinct value once."""

        def change(modality: str, draw: torch.Generator) -> Column:
            column = self.rows.columns[modality]
            noisy = replace(column, values=noise(column.values, severity, draw))
            return self._encode(modality, noisy)

        if severity == 0:
            return self.clean
        return self._after(f"{modality}/{noise.name} {severity}", [modality], change)

    def _after(self, what: str, modalities: Sequence[str], change: Change) -> Tensor | None:
        """None, with a warning, if the model or the disturbance cannot cope with the other."""
        read = [m for m in modalities if m in self.encoders]
        if not read:
            return self.clean
        try:
            columns = {m: change(m, stream(self.seed, "robustness")) for m in read}
            columns = {**self.encoded.columns, **columns}
            return self._finite(replace(self.encoded, columns=columns))
        except Exception as error:  # noqa: BLE001 - one disturbance never stops the others
            log.warning("robustness without %s: %s: %s", what, type(error).__name__, error)
            return None

    def _finite(self, split: Split) -> Tensor:
        score = torch.as_tensor(self.score(split), dtype=torch.float64).reshape(-1)
        if not score[0].isfinite():
            raise TrainingDiverged(f"The main metric is {score[0]}.")
        return score

    def _encode(self, modality: str, column: Column) -> Column:
        encoder = self.encoders[modality]
        if column.is_encoded:
            return column
        return Column(self.encode(modality, encoder, column.values), column.index)
