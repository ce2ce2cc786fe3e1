"""What the series encoders share: fitting, and which steps are real."""

from typing import Any

from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._training_column import SAMPLE, Standardise, number_sample, scale
from mmbench.types import Column


class SeriesEncoder(Encoder):
    """Reads (series, time, channels). A step that is NaN throughout is padding, at the end."""

    accepts = "series"
    emits_sequences = True

    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.standardise = Standardise(fitted)

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The shape of a series and each channel's mean and standard deviation."""
        values = number_sample(train, SAMPLE)
        if values.ndim != 3:
            raise TypeError(
                f"{cls.name} takes series (series, time, channels); got {tuple(values.shape)}."
            )
        fitted: dict[str, Any] = {"shape": list(values.shape[1:]), **scale(values, 2)}
        return fitted

    def steps(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return real_steps(self.standardise, inputs)


def real_steps(standardise: Standardise, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Standardised values with zeros for NaN, and the mask (series, time) of real steps."""
    return standardise(inputs).nan_to_num(), ~inputs.isnan().all(-1)
