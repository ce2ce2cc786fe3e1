"""The contract kit catches bugs: each that others shipped, written down small, is named by it."""

import functools
import math
import re

import pytest
import torch
from torch import nn

from mmbench.contracts import Capabilities, Dataset, Encoder, Fused, Fusion, Head, Metric, Objective
from mmbench.testing import (
    check_dataset,
    check_encoder,
    check_fusion,
    check_head,
    check_metric,
    check_objective,
    dataset_checks,
    encoder_checks,
    fusion_checks,
    head_checks,
    metric_checks,
    objective_checks,
)
from mmbench.types import Column, Encoded, Split, Task


@functools.cache
def broken_promises(checks, *given):
    """{name of the check: its message} for all that fail."""
    broken = {}
    for check in checks:
        try:
            check(*given)
        except AssertionError as error:
            broken[check.__name__] = str(error)
    return broken


FUSION_CHECKS = fusion_checks()

# Fusions: a sound one, and one bug each ------------------------------------------------------


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


BUGS = [
    (FactorsInAList, "every_tensor_is_registered", "factors holds tensors"),
    (LayersInAList, "every_tensor_is_registered", "factors holds tensors or modules"),
    (WeightInAClosure, "every_tensor_is_registered", "not among the parameters"),
    (AttendsOverTheBatch, "samples_do_not_see_each_other", "other samples of its batch"),
    (BatchNormed, "forward_keeps_no_state", "norm.running_mean"),
    (RunningMean, "forward_keeps_no_state", "forward changes mean"),
    (DrawsItsWeightsAnew, "eval_is_deterministic", "two calls in eval mode differ"),
    (RandomConstant, "state_dict_restores_the_output", "another output"),
    (AttendsToPooledVectors, "attention_depends_on_its_query", "single pooled key is always 1"),
    (IgnoresItsQuery, "attention_depends_on_its_query", "never depends on another"),
    (OneScalar, "output_is_no_bottleneck", "on one line"),
    (OneScalarRepeated, "output_is_no_bottleneck", "on one line"),
    (WrongWidth, "output_has_the_declared_width", r"\(4, 32\), but is \(4, 16\)"),
    (WrongWeights, "output_has_the_declared_width", r"Fused.weights"),
    (RefusesUnequalLengths, "modalities_may_differ_in_length", "it raised RuntimeError"),
    (IgnoresItsConfidences, "every_parameter_gets_a_gradient", "confidence.weight"),
    (IgnoresAModality, "every_modality_is_used", "ignores modality 'b'"),
    (NoiseInPlace, "inputs_are_never_modified", "a.pooled"),
    (ForgetsTheMask, "values_under_the_mask_do_not_matter", "with 1000.0 under the mask"),
    (MultipliesByTheMask, "values_under_the_mask_do_not_matter", "with inf under the mask"),
    (ReadsTheLastPosition, "longer_padding_does_not_matter", "more padding changes the output"),
    (GoesByPosition, "modalities_go_by_name", "order of the features"),
    (SoftmaxOverNothing, "missing_modality_leaves_no_trace", "NaN"),
    (TracesOfTheMissing, "missing_modality_leaves_no_trace", r"missing"),
    (ClaimsInteraction, "interaction_learns_exclusive_or", "exclusive-or"),
    (Explodes, "scale_is_sane_at_initialisation", "root mean square"),
    (InfiniteSlope, "degenerate_inputs_stay_finite", "infinite slope"),
    (StaysInFloat32, "it_moves_between_precisions_and_devices", "in torch.bfloat16"),
    (DependsOnAValue, "members_train_together_under_vmap", "vmap"),
]


@pytest.mark.parametrize("cls", [Sound, Attentive], ids=lambda c: c.__name__)
def test_the_kit_accepts_a_sound_fusion(cls):
    assert broken_promises(FUSION_CHECKS, cls) == {}


@pytest.mark.parametrize(
    ("cls", "check", "message"), BUGS, ids=lambda v: getattr(v, "__name__", "")
)
def test_the_kit_names_the_bug(cls, check, message):
    broken = broken_promises(FUSION_CHECKS, cls)
    assert check in broken, f"only found: {broken}"
    assert re.search(message, broken[check]), broken[check]
    with pytest.raises(AssertionError):
        check_fusion(cls)


def test_one_bug_breaks_few_promises():
    """Promises are apart: most bugs are named by the one check that is about them."""
    alone = [cls for cls, check, _ in BUGS if set(broken_promises(FUSION_CHECKS, cls)) == {check}]
    assert len(alone) >= len(BUGS) / 2


def test_a_fusion_that_cannot_be_batched_may_say_so():
    alone = type("Alone", (DependsOnAValue,), {"capabilities": Capabilities(batched=False)})
    assert broken_promises(FUSION_CHECKS, alone) == {}


def test_the_kit_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check_fusion(Sound)
    assert torch.equal(torch.rand(3), expected)


# Heads and objectives ------------------------------------------------------------------------


class SqueezingHead(Head):
    name = "squeezing"

    def __init__(self, in_dim, n_outputs):
        super().__init__(in_dim, n_outputs)
        self.linear = nn.Linear(in_dim, n_outputs)

    def forward(self, fused):
        return self.linear(fused).squeeze(-1)


def test_the_kit_names_a_head_that_loses_an_axis():
    assert "output_has_one_number_per_output" in broken_promises(head_checks(), SqueezingHead)
    with pytest.raises(AssertionError, match=r"\(4, 1\), but is \(4,\)"):
        check_head(SqueezingHead)


class SumOfSquares(Objective):
    name = "sum-of-squares"
    targets = frozenset({"regression"})

    def forward(self, outputs, target):
        return (outputs.scores - target).square().mean()


class PerSample(SumOfSquares):
    def forward(self, outputs, target):
        return (outputs.scores - target).square().mean(1)


class Uphill(SumOfSquares):
    def forward(self, outputs, target):
        return -super().forward(outputs, target)


class FirstRowCountsTwice(SumOfSquares):
    def forward(self, outputs, target):
        return super().forward(outputs, target) + (outputs.scores[0] - target[0]).square().mean()


class SaysItNeedsUnimodal(SumOfSquares):
    needs_unimodal = True


class DividesByNothing(SumOfSquares):
    def forward(self, outputs, target):
        present = outputs.features["b"].present
        errors = (outputs.scores - target).square().mean(1)
        return (errors * present).sum() / present.sum()


def test_the_kit_accepts_a_sound_objective():
    check_objective(SumOfSquares)


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (PerSample, "loss_is_a_finite_scalar"),
        (DividesByNothing, "loss_is_a_finite_scalar"),
        (Uphill, "better_predictions_lower_the_loss"),
        (FirstRowCountsTwice, "loss_does_not_depend_on_row_order"),
        (SaysItNeedsUnimodal, "loss_trains_every_head"),
    ],
)
def test_the_kit_names_the_bug_of_an_objective(cls, check):
    assert check in broken_promises(objective_checks(), cls)


# Encoders ------------------------------------------------------------------------------------

WORDS = Column(("red", "a blue one", "is it green", "no"), torch.tensor([0, 1, 2, 3, 0, -1]))


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


def test_the_kit_accepts_a_sound_encoder():
    assert broken_promises(encoder_checks(), Letters, WORDS) == {}


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (SaysItIsFrozen, "frozen_is_as_declared"),
        (SaysItEmitsVectors, "sequences_are_as_declared"),
        (SaysAnotherWidth, "shapes_are_as_declared"),
        (FitsATuple, "what_is_fitted_is_json"),
        (FitsKeysThatAreNumbers, "what_is_fitted_is_json"),
        (AveragesThePadding, "a_value_is_encoded_the_same_alone"),
        (NormalisesByTheBatch, "samples_do_not_see_each_other"),
        (SaysTheSameOfAll, "values_are_told_apart"),
    ],
)
def test_the_kit_names_the_bug_of_an_encoder(cls, check):
    assert check in broken_promises(encoder_checks(), cls, WORDS)
    with pytest.raises(AssertionError):
        check_encoder(cls, WORDS)


# Metrics -------------------------------------------------------------------------------------


class Accuracy(Metric):
    name = "accuracy"
    targets = frozenset({"classification"})

    def __call__(self, scores, target):
        return (scores.argmax(1) == target).double().mean().item()


class SaysLowerIsBetter(Accuracy):
    higher_is_better = False


class FirstHalf(Accuracy):
    def __call__(self, scores, target):
        return super().__call__(scores[:20], target[:20])


class GivesATensor(Accuracy):
    def __call__(self, scores, target):
        return (scores.argmax(1) == target).double().mean()


class NoVarianceIsNaN(Accuracy):
    def __call__(self, scores, target):
        return super().__call__(scores, target) if scores.std() > 0 else math.nan


class ShiftsInPlace(Accuracy):
    def __call__(self, scores, target):
        return super().__call__(scores.sub_(scores.mean()), target)


def test_the_kit_accepts_a_sound_metric():
    check_metric(Accuracy)


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (SaysLowerIsBetter, "perfect_predictions_score_best"),
        (FirstHalf, "row_order_does_not_matter"),
        (GivesATensor, "figure_is_a_finite_float"),
        (NoVarianceIsNaN, "figure_is_a_finite_float"),
        (ShiftsInPlace, "arguments_are_never_modified"),
    ],
)
def test_the_kit_names_the_bug_of_a_metric(cls, check):
    assert check in broken_promises(metric_checks(), cls)


# Datasets ------------------------------------------------------------------------------------


class Digits(Dataset):
    name = "digits"
    version = "1"
    task = Task({"image": "image", "word": "text"}, "classification", ("even", "odd"), "accuracy")
    parts = ("train", "val", "test")

    def load(self, part):
        first = 10 * self.parts.index(part)
        source = torch.arange(first, first + 10)
        image = torch.randn(10, 3, generator=torch.Generator().manual_seed(first))
        columns = {
            "image": Column(image),
            "word": Column(("zero", "one"), torch.arange(10) % 3 - 1),  # -1: no word
        }
        return Split(columns, source % 2, {"third": [str(i % 3) for i in range(10)]}, source)


class ValidatesOnTest(Digits):
    parts = ("train", "test", "val")

    def load(self, part):
        return super().load("test" if part == "val" else part)


class DrawsAnew(Digits):
    def load(self, part):
        split = super().load(part)
        return split.with_column("image", Column(torch.randn(10, 3)))


class TooManyClasses(Digits):
    def load(self, part):
        split = super().load(part)
        return Split(split.columns, split.target + 1, split.slices, split.source)


class PointsBeyond(Digits):
    def load(self, part):
        return super().load(part).with_column("word", Column(("zero",), torch.arange(10) % 2))


class TooShort(Digits):
    def load(self, part):
        return super().load(part).with_column("image", Column(torch.ones(9, 3)))


class UnlabelledRows(Digits):
    def load(self, part):
        split = super().load(part)
        return Split(split.columns, split.target, {"third": ["0"] * 9}, split.source)


def test_the_kit_accepts_a_sound_dataset():
    check_dataset(Digits())


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (ValidatesOnTest, "parts_share_nothing"),
        (DrawsAnew, "loading_is_deterministic"),
        (TooManyClasses, "targets_are_within_range"),
        (PointsBeyond, "columns_and_target_agree"),
        (TooShort, "columns_and_target_agree"),
        (UnlabelledRows, "slices_and_sources_label_every_row"),
    ],
)
def test_the_kit_names_the_bug_of_a_dataset(cls, check):
    assert check in broken_promises(dataset_checks(), cls())
