"""Features of disturbed values, kept while a process examines one model after the other.

The same rows are disturbed in the same way for every model, and frozen encoders that are equal say
the same of them. What the values hold decides, not where they came from.
"""

from dataclasses import dataclass, field

from torch import Tensor

from mmbench.contracts import Encoder
from mmbench.features import content_digest, encode_in_batches, weights
from mmbench.spec import Component
from mmbench.types import Encoded, Values

MOST = 2**30  # bytes


@dataclass(slots=True)
class Remembered:
    """Keeps what comes first, up to ``most`` bytes: the next model asks in the same order.

    Letting go of the oldest would lose each shortly before it is asked for again.
    """

    most: int = MOST
    kept: dict[tuple[str, str], Encoded] = field(default_factory=dict)

    def encode(self, component: Component, encoder: Encoder, values: Values) -> Encoded:
        """What ``encoder``, made as ``component`` says, makes of values as the dataset has them."""
        prepared = encoder.prepare(values)
        if not encoder.frozen or not isinstance(prepared, Tensor):
            return encode_in_batches(encoder, prepared)  # type: ignore[arg-type]
        name = f"{component} {weights(encoder)}"
        key = name, content_digest({"values": prepared})
        if key not in self.kept:
            found = encode_in_batches(encoder, prepared)
            if sum(f.nbytes for f in self.kept.values()) + found.nbytes > self.most:
                return found
            self.kept[key] = found
        return self.kept[key]
