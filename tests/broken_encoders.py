"""A sound encoder of text, and what can be wrong with others."""

from typing import Annotated

import torch
from torch import nn

from mmbench.contracts import Encoder
from mmbench.space import Choice, Range
from mmbench.testing import example_column
from mmbench.types import Column, Encoded

WORDS = Column(("red", "a blue one", "is it green", "no"), torch.tensor([0, 1, 2, 3, 0, -1]))
TABLE = example_column("tabular")


class Letters(Encoder):
    """Codes of characters, padded with 0, embedded."""

    name = "letters"
    accepts = "text"
    emits_sequences = True
    out_dim = 8

    def __init__(self, fitted):
        super().__init__(fitted)
        self.codes = {c: i + 1 for i, c in enumerate(fitted["letters"])}
        self.embed = nn.Embedding(len(self.codes) + 1, 8)

    @classmethod
    def fit(cls, train):
        return {"letters": sorted(set("".join(train.values)))}

    def prepare(self, values):
        coded = [torch.tensor([self.codes.get(c, 0) for c in v]) for v in values]
        return nn.utils.rnn.pad_sequence(coded, batch_first=True)

    def forward(self, inputs):
        return Encoded(self.embed(inputs), inputs > 0)


class SaysItIsFrozen(Letters):
    frozen = True


class SaysItEmitsVectors(Letters):
    emits_sequences = False


class SaysAnotherWidth(Letters):
    out_dim = 9


class FitsATuple(Letters):
    @classmethod
    def fit(cls, train):
        return {"letters": {c: i for i, c in enumerate("".join(train.values))}.items()}


class FitsKeysThatAreNumbers(Letters):
    """JSON turns them into strings: every letter is then unknown."""

    @classmethod
    def fit(cls, train):
        return {"letters": super().fit(train)["letters"], "lengths": {3: 1.0}}

    def forward(self, inputs):
        encoded = super().forward(inputs)
        return Encoded(encoded.tokens * self.fitted["lengths"].get(3, 2.0), encoded.mask)


class AveragesThePadding(Letters):
    def forward(self, inputs):
        tokens = self.embed(inputs)
        return Encoded(tokens, inputs > 0, tokens.mean(1))


class NormalisesByTheBatch(Letters):
    def forward(self, inputs):
        encoded = super().forward(inputs)
        return Encoded(encoded.tokens - encoded.pooled.mean(0), encoded.mask)


class SaysTheSameOfAll(Letters):
    def forward(self, inputs):
        return super().forward(torch.ones_like(inputs))


class NoiseAtLevelZeroSilences(Letters):
    """Multiplied by the level, the signal goes, not the noise."""

    def forward(self, inputs, level=0.0):
        encoded = super().forward(inputs)
        return Encoded(level * (encoded.tokens + torch.randn_like(encoded.tokens)), encoded.mask)


class UnseededNoise(Letters):
    """Augmentation that goes on in eval mode."""

    def forward(self, inputs):
        encoded = super().forward(inputs)
        noise = 0.1 * torch.randn_like(encoded.tokens)
        return Encoded(encoded.tokens + noise, encoded.mask)


class DropsLettersInPlace(Letters):
    def forward(self, inputs):
        encoded = super().forward(inputs)
        inputs[:, 0] = 0
        return encoded


class DeadByAZero(Letters):
    def __init__(self, fitted):
        super().__init__(fitted)
        self.gate = nn.Linear(8, 1)

    def forward(self, inputs):
        encoded = super().forward(inputs)
        return Encoded(encoded.tokens + 0 * self.gate(encoded.tokens), encoded.mask)


class AttendsToOneKey(DeadByAZero):
    def forward(self, inputs):
        encoded = super().forward(inputs)
        return Encoded(encoded.tokens * self.gate(encoded.tokens).softmax(-1), encoded.mask)


class SeedsItsWeights(Letters):
    def __init__(self, fitted):
        torch.manual_seed(0)
        super().__init__(fitted)


class FailsAtAChoice(Letters):
    def __init__(self, fitted, *, cased: Annotated[str, Choice("yes", "no")] = "yes"):
        super().__init__(fitted)
        if cased == "no":
            raise NotImplementedError


class DefaultBeyondItsRange(Letters):
    def __init__(self, fitted, *, width: Annotated[int, Range(16, 32)] = 8):
        super().__init__(fitted)
        self.embed = nn.Embedding(len(self.codes) + 1, width)
        self.out_dim = width


class Numbers(Encoder):
    """The cells of a table, an empty one their mean, under a linear layer."""

    name = "numbers"
    accepts = "tabular"
    out_dim = 8

    def __init__(self, fitted):
        super().__init__(fitted)
        self.register_buffer("means", torch.tensor(fitted["means"]))
        self.linear = nn.Linear(len(fitted["means"]), 8)

    @classmethod
    def fit(cls, train):
        return {"means": train.values.nanmean(0).tolist()}

    def forward(self, inputs):
        return Encoded.vector(self.linear(torch.where(inputs.isnan(), self.means, inputs)))


class FitsInPlace(Numbers):
    @classmethod
    def fit(cls, train):
        train.values.nan_to_num_()
        return super().fit(train)


class PreparesInPlace(Numbers):
    def prepare(self, values):
        return values.sub_(self.means)


class ShiftsTheTargetInPlace(Numbers):
    @classmethod
    def fit_to_target(cls, train, target, kind):
        target.sub_(target.mean())
        return super().fit(train)


class NeverReadsItsTemperature(Letters):
    def __init__(self, fitted, *, temperature: Annotated[float, Range(0.1, 1.0)] = 0.5):
        super().__init__(fitted)
        self.temperature = temperature
