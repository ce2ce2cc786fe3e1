"""Two sound fusions, and bugs that others shipped, each written down small."""

from typing import Annotated

import torch
from torch import nn
from torch.nn.functional import softplus

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.space import Choice, Range, When
from mmbench.types import Encoded


class Sound(Fusion):
    name = "sound"

    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = 16
        self.project = nn.ModuleDict({m: nn.Linear(d, 16) for m, d in dims.items()})

    def vectors(self, features):
        return [f(features[m].pooled) for m, f in self.project.items()]

    def forward(self, features):
        return sum(self.vectors(features))


class Attentive(Sound):
    """Each modality's vector is a query over the tokens of the next one."""

    name = "attentive"
    capabilities = Capabilities(min_modalities=2, needs_sequences=True)

    def tokens(self, features):
        """(batch, time, 16) of each modality, zeros in padding."""
        return {
            m: f(torch.where(features[m].mask[..., None], features[m].tokens, 0.0))
            for m, f in self.project.items()
        }

    def forward(self, features):
        tokens, names = self.tokens(features), list(self.dims)
        fused = 0.0
        for m, n in zip(names, names[1:] + names[:1], strict=True):
            keys = tokens[n]  # (batch, time, 16)
            scores = self.scores(self.project[m](features[m].pooled), keys)
            weights = torch.where(features[n].mask, scores, -1e4).softmax(-1)
            fused = fused + torch.einsum("bt,btd->bd", weights, keys)
        return fused

    def scores(self, query, keys):
        return torch.einsum("bd,btd->bt", query, keys)


class FactorsInAList(Sound):
    """Low-rank tensor fusion of three systems: 20 of 1,172 parameters were registered."""

    def __init__(self, dims):
        super().__init__(dims)
        self.factors = [nn.Parameter(torch.randn(d, 16)) for d in dims.values()]

    def forward(self, features):
        products = [features[m].pooled @ f for m, f in zip(self.dims, self.factors, strict=True)]
        return super().forward(features) + torch.stack(products).sum(0)


class LayersInAList(FactorsInAList):
    def __init__(self, dims):
        super().__init__(dims)
        self.factors = [nn.Linear(d, 16) for d in dims.values()]

    def forward(self, features):
        layers = zip(self.dims, self.factors, strict=True)
        return sum(layer(features[m].pooled) for m, layer in layers)


class WeightInAClosure(Sound):
    def __init__(self, dims):
        super().__init__(dims)
        weight = torch.randn(16, requires_grad=True)
        self.scale = lambda x: x * weight

    def forward(self, features):
        return self.scale(super().forward(features))


class AttendsOverTheBatch(Sound):
    def forward(self, features):
        x = super().forward(features)
        return x + (x @ x.T).softmax(-1) @ x


class BatchNormed(Sound):
    def __init__(self, dims):
        super().__init__(dims)
        self.norm = nn.BatchNorm1d(16)

    def forward(self, features):
        return self.norm(super().forward(features))


class DrawsItsWeightsAnew(Sound):
    """Channel attention of fusilli: new layers at every forward pass."""

    def forward(self, features):
        x = super().forward(features)
        return x * nn.Linear(16, 16)(x).detach().sigmoid()


class RandomConstant(Sound):
    def __init__(self, dims):
        super().__init__(dims)
        self.scale = torch.rand(1).item() + 0.5

    def forward(self, features):
        return super().forward(features) * self.scale


class AttendsToPooledVectors(Attentive):
    """One key: its softmax is always 1, and the query is ignored."""

    def tokens(self, features):
        return {m: f(features[m].pooled).unsqueeze(1) for m, f in self.project.items()}

    def forward(self, features):
        ones = {
            m: Encoded(e.tokens[:, :1], e.mask.any(1, keepdim=True), e.pooled)
            for m, e in features.items()
        }
        return super().forward(ones)


class IgnoresItsQuery(Attentive):
    def scores(self, query, keys):
        return keys.sum(-1)


class OneScalar(Sound):
    """A transformer fusion whose output was one number per sample."""

    def __init__(self, dims):
        super().__init__(dims)
        self.squeeze = nn.Linear(16, 1)
        self.out_dim = 1

    def forward(self, features):
        return self.squeeze(super().forward(features))


class OneScalarRepeated(OneScalar):
    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = 16

    def forward(self, features):
        return super().forward(features).expand(-1, 16)


class WrongWidth(Sound):
    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = 32


class RefusesUnequalLengths(Sound):
    """A port of MulT that stacks sequences."""

    def forward(self, features):
        stacked = torch.stack([features[m].mask for m in self.dims])
        return super().forward(features) + 0.0 * stacked.sum()


class IgnoresItsConfidences(Sound):
    """Late fusion that computes confidences and then takes the plain mean."""

    capabilities = Capabilities(level="decision")

    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = next(iter(dims.values()))
        self.confidence = nn.Linear(self.out_dim, 1)

    def forward(self, features):
        said = torch.stack([features[m].pooled for m in self.dims])
        self.confidence(said)
        return sum(self.vectors(features))[:, : self.out_dim]


class IgnoresAModality(Sound):
    def vectors(self, features):
        first, *rest = super().vectors(features)
        return [first, *(0.0 * x for x in rest)]


class NoiseInPlace(Sound):
    def forward(self, features):
        for e in features.values():
            e.pooled.mul_(0.5)
        return super().forward(features)


class ForgetsTheMask(Sound):
    def vectors(self, features):
        return [f(features[m].tokens.mean(1)) for m, f in self.project.items()]


class MultipliesByTheMask(Sound):
    """0 × NaN is NaN: what stands in padding leaks."""

    def vectors(self, features):
        e = features
        return [f((e[m].tokens * e[m].mask[..., None]).sum(1)) for m, f in self.project.items()]


class ReadsTheLastPosition(Sound):
    def vectors(self, features):
        return [
            f(torch.where(features[m].mask[..., None], features[m].tokens, 0.0)[:, -1])
            for m, f in self.project.items()
        ]


class GoesByPosition(Sound):
    def forward(self, features):
        vectors = [self.project[m](e.pooled) for m, e in features.items()]
        return sum(x * (i + 1) for i, x in enumerate(vectors))


class SoftmaxOverNothing(Attentive):
    capabilities = Capabilities(min_modalities=2, needs_sequences=True, handles_missing=True)

    def forward(self, features):
        tokens, (m, *_) = self.tokens(features), self.dims
        keys = torch.cat(list(tokens.values()), 1)
        mask = torch.cat([features[n].mask for n in self.dims], 1)
        query = self.project[m](features[m].pooled)
        weights = self.scores(query, keys).masked_fill(~mask, -torch.inf).softmax(-1)
        return torch.einsum("bt,btd->bd", weights, keys)


class TracesOfTheMissing(Sound):
    """A decision-level mean that counts the head of a missing modality."""

    capabilities = Capabilities(level="decision", handles_missing=True)


class ClaimsInteraction(Sound):
    capabilities = Capabilities(min_modalities=2, interaction=True)


class Explodes(Sound):
    def __init__(self, dims):
        super().__init__(dims)
        for layer in self.project.values():
            nn.init.normal_(layer.weight)


class InfiniteSlope(Sound):
    """Signed square root, without an epsilon."""

    def forward(self, features):
        x = sum(layer(features[m].pooled) - layer.bias for m, layer in self.project.items())
        return x.sign() * x.abs().sqrt() + sum(layer.bias for layer in self.project.values())


class StaysInFloat32(Sound):
    def forward(self, features):
        return super().forward(features) + torch.zeros(16, dtype=torch.float32)


class DependsOnAValue(Sound):
    def forward(self, features):
        x = super().forward(features)
        return x * 2 if x.sum().item() > 1e9 else x


class RunningMean(Sound):
    def __init__(self, dims):
        super().__init__(dims)
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, features):
        x = super().forward(features)
        if self.training:
            self.mean = self.mean * 0.9 + x.detach().mean(0) * 0.1
        return x - self.mean


class WrongWeights(Sound):
    def forward(self, features):
        x = super().forward(features)
        return Fused(x, weights=x)


class UndeclaredAttentionToPooledVectors(Sound):
    """The same in three systems, without a word about sequences: queries and keys never train."""

    capabilities = Capabilities(min_modalities=2)

    def __init__(self, dims):
        super().__init__(dims)
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, features):
        vectors = [x.unsqueeze(1) for x in self.vectors(features)]  # (batch, 1, 16) each
        pairs = zip(vectors, vectors[1:] + vectors[:1], strict=True)
        return sum(self.attend(x, y, y)[0].squeeze(1) for x, y in pairs)


class LosesTheSign(Sound):
    """What all modalities say alike is lost in a square."""

    def forward(self, features):
        return sum((features[m].pooled @ f.weight.T).square() for m, f in self.project.items())

    def __init__(self, dims):
        super().__init__(dims)
        for layer in self.project.values():
            layer.register_parameter("bias", None)


class NameAlone(Fusion):
    name = "name-alone"

    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = next(iter(dims.values()))

    def forward(self, features):
        return sum(features[m].pooled[:, :1] for m in self.dims).expand(-1, self.out_dim)


NameAlone.__module__ = "nowhere"  # this file's docstring is not its own


class Opinions(Fusion):
    """Evidential late fusion of two heads (Han et al., ICLR 2021), by Dempster's rule."""

    name = "opinions"
    capabilities = Capabilities(min_modalities=2, max_modalities=2, level="decision")

    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = next(iter(dims.values()))

    def opinion(self, encoded):
        evidence = softplus(encoded.pooled)
        strength = evidence.sum(1, keepdim=True) + self.out_dim
        return evidence / strength, self.out_dim / strength

    def combine(self, b, u, c, v):
        conflict = b.sum(1, keepdim=True) * c.sum(1, keepdim=True) - (b * c).sum(1, keepdim=True)
        return (b * c + b * v + c * u) / (1 - conflict), u * v / (1 - conflict)

    def forward(self, features):
        belief, unsure = self.combine(*(x for m in self.dims for x in self.opinion(features[m])))
        return (belief + unsure / self.out_dim).log()


class NotDempster(Opinions):
    """ "Dempster's rule" that is not: the doubt of one leaves nothing of the other's belief."""

    def combine(self, b, u, c, v):
        conflict = b.sum(1, keepdim=True) * c.sum(1, keepdim=True) - (b * c).sum(1, keepdim=True)
        return b * c / (1 - conflict), u * v / (1 - conflict)


def dempster(fusion, features):
    """Row by row and class by class: masses of sets that intersect, over what does not conflict."""
    rows = []
    first, second = (features[m].pooled for m in fusion.dims)
    for one, other in zip(first, second, strict=True):
        masses = []
        for scores in (one, other):
            evidence = [float(softplus(s)) for s in scores]
            strength = sum(evidence) + len(evidence)
            masses.append([*(e / strength for e in evidence), len(evidence) / strength])
        n, combined, empty = len(one), [0.0] * (len(one) + 1), 0.0
        for i, p in enumerate(masses[0]):
            for j, q in enumerate(masses[1]):
                if i == j or n in (i, j):
                    combined[min(i, j)] += p * q
                else:
                    empty += p * q
        rows.append([(b + combined[n] / n) / (1 - empty) for b in combined[:n]])
    return torch.tensor(rows, dtype=torch.float64).log()


class EnergyWeighted(Fusion):
    """Late fusion whose heads count by their energy (Zhang et al., ICML 2023)."""

    name = "energy-weighted"
    capabilities = Capabilities(min_modalities=2, level="decision")

    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = next(iter(dims.values()))

    def forward(self, features):
        said = torch.stack([features[m].pooled for m in self.dims], 1)
        weights = said.detach().logsumexp(-1).softmax(-1)
        return Fused(self.weighted(weights, said), weights=weights)

    def weighted(self, weights, said):
        return (weights.unsqueeze(-1) * said).sum(1)


class ReportsIdleConfidences(EnergyWeighted):
    """It computes and reports confidences, then takes the plain mean; there is no weight to see."""

    def weighted(self, weights, said):
        return said.mean(1)


def energy_weighted(fusion, features):
    rows = []
    for i in range(len(next(iter(features.values())))):
        said = [features[m].pooled[i].tolist() for m in fusion.dims]
        energies = [sum(2.718281828459045**s for s in scores) for scores in said]  # exp of the log
        total = sum(energies)
        rows.append(
            [
                sum(e / total * scores[k] for e, scores in zip(energies, said, strict=True))
                for k in range(fusion.out_dim)
            ]
        )
    return torch.tensor(rows, dtype=torch.float64)


class AssertsInWords(Sound):
    """An assert of its own, about what the kit may well give it."""

    def forward(self, features):
        fused = super().forward(features)
        assert len(fused) == 3, "three rows"
        return fused


class AssertsWithoutAWord(Sound):
    def forward(self, features):
        fused = super().forward(features)
        assert len(fused) == 3
        return fused


class CentresItsTrainingBatch(Sound):
    def forward(self, features):
        fused = super().forward(features)
        return fused - fused.mean(0) if self.training else fused


class TakesAModalityOut(Sound):
    def forward(self, features):
        fused = super().forward(features)
        features.pop(next(iter(self.dims)))
        return fused


class PutsZerosIn(Sound):
    def forward(self, features):
        fused, first = super().forward(features), next(iter(self.dims))
        features[first] = Encoded.vector(torch.zeros_like(features[first].pooled))
        return fused


class SeedsItsWeights(Sound):
    def __init__(self, dims):
        torch.manual_seed(0)
        super().__init__(dims)


class SeedsEachPass(Sound):
    def forward(self, features):
        if self.training:
            torch.manual_seed(0)
        return super().forward(features)


class NeverReadsItsTemperature(Sound):
    def __init__(self, dims, *, temperature: Annotated[float, Range(0.1, 1.0)] = 0.5):
        super().__init__(dims)
        self.temperature = temperature


class Cased(Sound):
    """Two steps, each of which may be left out, and how the second is done."""

    def __init__(
        self,
        dims,
        *,
        first: Annotated[str, Choice("none", "act")] = "none",
        second: Annotated[str, Choice("none", "act"), When("first", "act")] = "none",
        slope: Annotated[float, Range(0.5, 1.0), When("second", "act")] = 0.5,
    ):
        super().__init__(dims)
        self.first, self.second, self.slope = first, second, slope

    def forward(self, features):
        x = super().forward(features)
        if self.first == "act":
            x = x.tanh()
        return (x * self.act()).tanh() if self.second == "act" else x

    def act(self):
        return self.slope


class NeverReadsItsSlope(Cased):
    def act(self):
        return 0.5


class FailsAtAnEndOfItsSlope(Cased):
    def act(self):
        if self.slope == 1.0:
            raise NotImplementedError
        return self.slope
