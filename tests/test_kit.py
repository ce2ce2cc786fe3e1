"""The contract kit catches bugs: each that others shipped, written down small, is named by it."""

import functools
import re
from pathlib import Path

import broken_encoders
import broken_objectives
import pytest
import torch
from broken_data import (
    Accuracy,
    CountsMisses,
    Digits,
    DrawsAnew,
    DrawsOneRowAnew,
    DrawsWhenItIsMade,
    DropsTheLastBatch,
    FirstHalf,
    GivesATensor,
    Infinite,
    InPercent,
    LiesAtNoParameter,
    NamesAMetricOfNumbers,
    NamesNoKind,
    NamesNoMetric,
    NarrowerInTest,
    NoVarianceIsNaN,
    PointsBeyond,
    RecallOfTheFirstClass,
    SaysLowerIsBetter,
    ShiftsInPlace,
    SubjectInTwoParts,
    TiesAreRight,
    TiesGoByRow,
    TooManyClasses,
    TooShort,
    UnlabelledRows,
    ValidatesOnTest,
    Versionless,
    adds_in_place,
    draws_anew,
    exchanges,
    silences_at_level_zero,
    sound,
    swap_that_copies,
)
from broken_decoders import GoesOnFromTheFirstToken, HearsNothing, SeesWhatItIsToSay
from broken_encoders import (
    TABLE,
    WORDS,
    AveragesThePadding,
    DropsLettersInPlace,
    FitsATuple,
    FitsInPlace,
    FitsKeysThatAreNumbers,
    Letters,
    NoiseAtLevelZeroSilences,
    NormalisesByTheBatch,
    Numbers,
    PreparesInPlace,
    SaysAnotherWidth,
    SaysItEmitsVectors,
    SaysItIsFrozen,
    SaysTheSameOfAll,
    ShiftsTheTargetInPlace,
    UnseededNoise,
)
from broken_fusions import (
    AssertsInWords,
    AssertsWithoutAWord,
    AttendsOverTheBatch,
    AttendsToPooledVectors,
    Attentive,
    BatchNormed,
    Cased,
    CentresItsTrainingBatch,
    ClaimsInteraction,
    DependsOnAValue,
    DrawsItsWeightsAnew,
    EnergyWeighted,
    Explodes,
    FactorsInAList,
    FailsAtAnEndOfItsSlope,
    ForgetsTheMask,
    GoesByPosition,
    IgnoresAModality,
    IgnoresItsConfidences,
    IgnoresItsQuery,
    InfiniteSlope,
    LayersInAList,
    LosesTheSign,
    MultipliesByTheMask,
    NameAlone,
    NeverReadsItsSlope,
    NeverReadsItsTemperature,
    NoiseInPlace,
    NotDempster,
    OneScalar,
    OneScalarRepeated,
    Opinions,
    PutsZerosIn,
    RandomConstant,
    ReadsTheLastPosition,
    RefusesUnequalLengths,
    ReportsIdleConfidences,
    RunningMean,
    SeedsEachPass,
    SeedsItsWeights,
    SoftmaxOverNothing,
    Sound,
    StaysInFloat32,
    TakesAModalityOut,
    TracesOfTheMissing,
    UndeclaredAttentionToPooledVectors,
    WeightInAClosure,
    WrongWeights,
    WrongWidth,
    dempster,
    energy_weighted,
)
from broken_objectives import (
    DividesByItsWeight,
    DividesByNothing,
    FailsAsPruned,
    FirstRowCountsTwice,
    HuberLater,
    NeverEndsItsWarmUp,
    PerSample,
    SaysItNeedsUnimodal,
    ScalesTheDataInPlace,
    SeedsEachEpoch,
    SeedsEachStep,
    SeedsWhenItIsMade,
    SqueezingHead,
    SumOfSquares,
    UnseededCorruption,
    UnseededFromTheSecondEpoch,
    Uphill,
)

from mmbench.contracts import Capabilities
from mmbench.testing import (
    check_dataset,
    check_encoder,
    check_fusion,
    check_head,
    check_metric,
    check_noise,
    check_objective,
    dataset_checks,
    encoder_checks,
    fusion_checks,
    head_checks,
    metric_checks,
    noise_checks,
    objective_checks,
)
from mmbench.testing.contract import Contract


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

# Fusions -------------------------------------------------------------------------------------

BUGS = [
    (FactorsInAList, "every_tensor_is_registered", "factors holds tensors"),
    (LayersInAList, "every_tensor_is_registered", "factors holds tensors or modules"),
    (WeightInAClosure, "every_tensor_is_registered", "not among the parameters"),
    (AttendsOverTheBatch, "samples_do_not_see_each_other", "other samples of its batch"),
    (CentresItsTrainingBatch, "training_does_not_mix_samples", "in training mode"),
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
    (TakesAModalityOut, "features_stay_where_they_are", "takes out .* features, .*: a"),
    (PutsZerosIn, "features_stay_where_they_are", "puts into it: a"),
    (SeedsItsWeights, "random_state_is_not_set", "all seeds of a trial are one"),
    (SeedsEachPass, "random_state_is_not_set", "all seeds of a trial are one"),
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
    (UndeclaredAttentionToPooledVectors, "every_weight_matters", "softmax over one key"),
    (IgnoresItsConfidences, "every_weight_matters", "confidence.weight never"),
    (NeverReadsItsTemperature, "every_searched_parameter_matters", "sets temperature to"),
    (NeverReadsItsSlope, "every_searched_parameter_matters", "sets slope to"),
    (FailsAtAnEndOfItsSlope, "whole_search_space_works", "it raised NotImplementedError"),
    (LosesTheSign, "what_modalities_agree_on_is_learnt", "lost on the way"),
    (NameAlone, "it_is_declared_in_full", "docstring"),
]


@pytest.mark.parametrize("cls", [Sound, Attentive, Cased], ids=lambda c: c.__name__)
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


@pytest.mark.parametrize("cls", [AssertsInWords, AssertsWithoutAWord])
def test_an_assert_of_the_components_own_is_a_broken_promise(cls):
    asked = tuple(c for c in FUSION_CHECKS if c.__name__ == "modalities_go_by_name")
    (verdict,) = Contract("fusion", cls.name, asked, lambda: (cls,)).verdicts()
    said = "AssertionError: three rows" if cls is AssertsInWords else r"AssertionError at .*fusions"
    assert not verdict.kept and re.search(said, verdict.message)


def test_one_bug_breaks_few_promises():
    """Promises are apart: most bugs are named by the one check that is about them."""
    alone = [cls for cls, check, _ in BUGS if set(broken_promises(FUSION_CHECKS, cls)) == {check}]
    assert len(alone) >= len(BUGS) / 2


NEED_A_FORMULA = [
    (Opinions, NotDempster, dempster),
    (EnergyWeighted, ReportsIdleConfidences, energy_weighted),
]


@pytest.mark.parametrize(("sound_one", "other", "formula"), NEED_A_FORMULA)
def test_only_a_formula_tells_a_rule_from_another(sound_one, other, formula):
    checks = fusion_checks(formula)
    assert broken_promises(checks, sound_one) == {}
    assert set(broken_promises(checks, other)) == {"it_computes_its_formula"}


def test_a_fusion_that_cannot_be_batched_may_say_so():
    alone = type("Alone", (DependsOnAValue,), {"capabilities": Capabilities(batched=False)})
    assert broken_promises(FUSION_CHECKS, alone) == {}


def test_no_fusion_keeps_state_batched_or_not():
    alone = type("Alone", (BatchNormed,), {"capabilities": Capabilities(batched=False)})
    assert "forward_keeps_no_state" in broken_promises(FUSION_CHECKS, alone)


def test_the_kit_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check_fusion(Sound)
    assert torch.equal(torch.rand(3), expected)


# Heads and objectives ------------------------------------------------------------------------


def test_the_kit_names_a_head_that_loses_an_axis():
    assert "output_has_one_number_per_output" in broken_promises(head_checks(), SqueezingHead)
    with pytest.raises(AssertionError, match=r"\(4, 1\), but is \(4,\)"):
        check_head(SqueezingHead)


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (broken_objectives.SeedsItsWeights, "random_state_is_not_set"),
        (broken_objectives.DefaultBeyondItsRange, "output_has_one_number_per_output"),
        (broken_objectives.NeverReadsItsDropout, "every_searched_parameter_matters"),
    ],
)
def test_the_kit_names_the_bug_of_a_head(cls, check):
    assert set(broken_promises(head_checks(), cls)) == {check}


@pytest.mark.parametrize("cls", [broken_objectives.DeadByAZero, broken_objectives.AttendsToOneKey])
def test_the_kit_names_weights_of_a_head_that_do_nothing(cls):
    broken = broken_promises(head_checks(), cls)
    assert set(broken) == {"every_weight_matters"} and "query.weight, key.weight" in str(broken)


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (SeesWhatItIsToSay, "a_place_depends_on_those_before_it"),
        (HearsNothing, "a_place_depends_on_those_before_it"),
        (GoesOnFromTheFirstToken, "what_it_says_alone_is_what_it_says_when_told_so"),
    ],
)
def test_the_kit_names_the_bug_of_a_decoder(cls, check):
    assert check in broken_promises(head_checks(), cls)


@pytest.mark.parametrize("cls", [SumOfSquares, HuberLater])
def test_the_kit_accepts_a_sound_objective(cls):
    check_objective(cls)


OBJECTIVE_BUGS = [
    (PerSample, "loss_is_a_finite_scalar"),
    (DividesByNothing, "loss_is_a_finite_scalar"),
    (DividesByItsWeight, "loss_is_a_finite_scalar"),
    (SeedsWhenItIsMade, "random_state_is_not_set"),
    (SeedsEachEpoch, "random_state_is_not_set"),
    (SeedsEachStep, "a_step_sets_no_random_state"),
    (NeverEndsItsWarmUp, "every_searched_parameter_matters"),
    (Uphill, "better_predictions_lower_the_loss"),
    (FirstRowCountsTwice, "loss_does_not_depend_on_row_order"),
    (SaysItNeedsUnimodal, "loss_trains_every_head"),
    (UnseededCorruption, "training_is_repeatable"),
    (UnseededFromTheSecondEpoch, "training_is_repeatable"),
    (ScalesTheDataInPlace, "training_leaves_the_data_alone"),
    (FailsAsPruned, "loss_is_a_finite_scalar"),
]


@pytest.mark.parametrize(("cls", "check"), OBJECTIVE_BUGS)
def test_the_kit_names_the_bug_of_an_objective(cls, check):
    asked = tuple(c for c in objective_checks() if c.__name__ == check)  # all: a second each
    assert check in broken_promises(asked, cls)


# Encoders ------------------------------------------------------------------------------------


COLUMNS = {"text": WORDS, "tabular": TABLE}


@pytest.mark.parametrize("cls", [Letters, Numbers])
def test_the_kit_accepts_a_sound_encoder(cls):
    assert broken_promises(encoder_checks(), cls, COLUMNS[cls.accepts]) == {}


ENCODER_BUGS = [
    (broken_encoders.DeadByAZero, "every_weight_matters"),
    (broken_encoders.AttendsToOneKey, "every_weight_matters"),
    (SaysItIsFrozen, "frozen_is_as_declared"),
    (SaysItEmitsVectors, "sequences_are_as_declared"),
    (SaysAnotherWidth, "shapes_are_as_declared"),
    (FitsATuple, "what_is_fitted_is_json"),
    (FitsKeysThatAreNumbers, "what_is_fitted_is_json"),
    (AveragesThePadding, "a_value_is_encoded_the_same_alone"),
    (NormalisesByTheBatch, "samples_do_not_see_each_other"),
    (SaysTheSameOfAll, "values_are_told_apart"),
    (NoiseAtLevelZeroSilences, "values_are_told_apart"),
    (UnseededNoise, "eval_is_deterministic"),
    (DropsLettersInPlace, "inputs_are_never_modified"),
    (FitsInPlace, "raw_values_are_left_alone"),
    (PreparesInPlace, "raw_values_are_left_alone"),
    (ShiftsTheTargetInPlace, "raw_values_are_left_alone"),
    (broken_encoders.SeedsItsWeights, "random_state_is_not_set"),
    (broken_encoders.FailsAtAChoice, "shapes_are_as_declared"),
    (broken_encoders.DefaultBeyondItsRange, "shapes_are_as_declared"),
    (broken_encoders.NeverReadsItsTemperature, "every_searched_parameter_matters"),
]


@pytest.mark.parametrize(("cls", "check"), ENCODER_BUGS)
def test_the_kit_names_the_bug_of_an_encoder(cls, check):
    column = COLUMNS[cls.accepts]
    assert check in broken_promises(encoder_checks(), cls, column)
    with pytest.raises(AssertionError):
        check_encoder(cls, column)


# Metrics -------------------------------------------------------------------------------------


def test_the_kit_accepts_a_sound_metric():
    check_metric(Accuracy)


METRIC_BUGS = [
    (SaysLowerIsBetter, "perfect_predictions_score_best"),
    (FirstHalf, "row_order_does_not_matter"),
    (DropsTheLastBatch, "row_order_does_not_matter"),
    (GivesATensor, "figure_is_a_finite_float"),
    (NoVarianceIsNaN, "figure_is_a_finite_float"),
    (TiesAreRight, "perfect_predictions_score_best"),
    (TiesGoByRow, "row_order_does_not_matter"),
    (RecallOfTheFirstClass, "figure_is_a_finite_float"),
    (InPercent, "figures_lie_between_its_ends"),
    (CountsMisses, "sums_over_rows_are_the_metric"),
    (ShiftsInPlace, "arguments_are_never_modified"),
]


@pytest.mark.parametrize(("cls", "check"), METRIC_BUGS)
def test_the_kit_names_the_bug_of_a_metric(cls, check):
    assert check in broken_promises(metric_checks(), cls)


# Datasets ------------------------------------------------------------------------------------


def test_the_kit_accepts_a_sound_dataset():
    check_dataset(Digits())
    assert broken_promises(dataset_checks(Digits), Digits()) == {}


DATASET_BUGS = [
    (ValidatesOnTest, "parts_share_nothing"),
    (SubjectInTwoParts, "parts_share_nothing"),
    (DrawsAnew, "loading_is_deterministic"),
    (DrawsOneRowAnew, "loading_is_deterministic"),
    (DrawsWhenItIsMade, "another_instance_loads_the_same"),
    (LiesAtNoParameter, "places_are_parameters"),
    (NamesNoMetric, "task_is_of_what_there_is"),
    (NamesAMetricOfNumbers, "task_is_of_what_there_is"),
    (NamesNoKind, "task_is_of_what_there_is"),
    (Versionless, "task_is_of_what_there_is"),
    (NarrowerInTest, "values_are_alike_in_all_parts"),
    (Infinite, "values_are_alike_in_all_parts"),
    (TooManyClasses, "targets_are_within_range"),
    (PointsBeyond, "columns_and_target_agree"),
    (TooShort, "columns_and_target_agree"),
    (UnlabelledRows, "slices_and_sources_label_every_row"),
]


@pytest.mark.parametrize(("cls", "check"), DATASET_BUGS)
def test_the_kit_names_the_bug_of_a_dataset(cls, check):
    assert check in broken_promises(dataset_checks(cls), cls())


# Noise ---------------------------------------------------------------------------------------

VALUES = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("noise", [sound, exchanges])
def test_the_kit_accepts_a_sound_noise(noise):
    checks = noise_checks(exchanges=noise is exchanges)
    assert broken_promises(checks, noise, VALUES) == {}
    check_noise(noise, VALUES)


NOISE_BUGS = [
    (silences_at_level_zero, "severity_zero_is_the_identity"),
    (adds_in_place, "noise_is_never_added_in_place"),
    (draws_anew, "one_stream_gives_one_noise"),
    (swap_that_copies, "exchanged_values_are_the_same_ones"),
]


@pytest.mark.parametrize(("noise", "check"), NOISE_BUGS)
def test_the_kit_names_the_bug_of_a_noise(noise, check):
    exchanging = noise_checks(exchanges=noise is swap_that_copies)
    assert check in broken_promises(exchanging, noise, VALUES.clone())


# All that others shipped ---------------------------------------------------------------------

SHIPPED = {
    "low-rank factors in a plain list: they never train and are missing from the state dict": [
        FactorsInAList,
        LayersInAList,
    ],
    "predictions that depend on the other samples of the batch": [AttendsOverTheBatch, BatchNormed],
    "attention weights drawn anew at every forward pass": [DrawsItsWeightsAnew],
    "cross-attention between two pooled vectors": [
        AttendsToPooledVectors,
        UndeclaredAttentionToPooledVectors,
    ],
    "Dempster's rule that is not": [NotDempster],
    "late fusion that ignores its confidences": [IgnoresItsConfidences, ReportsIdleConfidences],
    "a transformer fusion whose output is one scalar": [OneScalar, OneScalarRepeated],
    "a MulT that refuses unequal lengths": [RefusesUnequalLengths],
    "noise at level 0 that zeroes every sample": [
        silences_at_level_zero,
        NoiseAtLevelZeroSilences,
    ],
    "a swap that copies": [swap_that_copies],
    "noise that mutates its input in place": [
        adds_in_place,
        NoiseInPlace,
        DropsLettersInPlace,
        ScalesTheDataInPlace,
    ],
    "unseeded corruption": [draws_anew, UnseededNoise, UnseededCorruption],
    "tuning or early stopping on the test split": [
        "test_laws.py::test_search_never_loads_the_test_part"
    ],
    "validation that is the test split": [ValidatesOnTest],
    "drop_last on a test loader": [
        DropsTheLastBatch,
        "test_kit.py::test_a_short_last_batch_counts",
    ],
    "pruners configured but never fed": [
        "test_search.py::test_a_worse_trial_is_pruned_but_never_a_reference"
    ],
    "failures recorded as pruned trials": [
        FailsAsPruned,
        "test_search.py::test_a_trial_that_raises_has_failed_with_its_traceback_and_the_search_goes_on",
    ],
}
"""What is the framework's own doing is a law with a test; the rest is a promise of the kit."""


def test_a_short_last_batch_counts():
    part = Digits().load("test")
    assert [len(batch) for batch in part.batches(4)] == [4, 4, 2]


@pytest.mark.parametrize("bug", SHIPPED)
def test_every_bug_that_others_shipped_is_caught(bug):
    lists = (BUGS, OBJECTIVE_BUGS, ENCODER_BUGS, METRIC_BUGS, DATASET_BUGS, NOISE_BUGS)
    caught = {thing for bugs in lists for thing, *_ in bugs} | {b for _, b, _ in NEED_A_FORMULA}
    for where in SHIPPED[bug]:
        if isinstance(where, str):
            file, _, test = where.partition("::")
            assert f"def {test}(" in (Path(__file__).parent / file).read_text()
        else:
            assert where in caught
