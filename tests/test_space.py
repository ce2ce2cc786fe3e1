"""Signatures as search spaces."""

from typing import Annotated, Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.errors import InvalidParameter
from mmbench.space import Choice, Range, When, enqueueable, params_of, suggest, validate


class Example:
    def __init__(
        self,
        dims: dict[str, int],
        *,
        width: Annotated[int, Range(4, 64, log=True)] = 16,
        gate: Annotated[str, Choice("softmax", "sigmoid")] = "softmax",
        temperature: Annotated[float, Range(0.5, 4.0), When("gate", "softmax")] = 1.0,
        bias: bool = True,
    ) -> None: ...


class FirstOfEach:
    """Answers every question with the lowest or first option, and remembers the names."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self.asked.setdefault(name, choices[-1])

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return self.asked.setdefault(name, low)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.asked.setdefault(name, low)


def test_only_keyword_parameters_are_read_in_their_order() -> None:
    assert [p.name for p in params_of(Example)] == ["width", "gate", "temperature", "bias"]


def test_inactive_and_unsearched_parameters_are_not_asked_for() -> None:
    trial = FirstOfEach()
    assert suggest(Example, trial, "fusion.x") == {"width": 4, "gate": "sigmoid", "bias": True}
    assert set(trial.asked) == {"fusion.x.width", "fusion.x.gate"}


@given(st.integers(4, 64), st.sampled_from(["softmax", "sigmoid"]), st.floats(0.5, 4.0))
def test_validate_is_idempotent(width: int, gate: str, temperature: float) -> None:
    once = validate(Example, {"width": width, "gate": gate, "temperature": temperature}, "x")
    assert validate(Example, once, "x") == once
    assert ("temperature" in once) == (gate == "softmax")


@given(st.integers(0, 10_000))
def test_whatever_is_suggested_is_valid(seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    suggested = suggest(Example, study.ask(), "p")
    assert validate(Example, suggested, "x") == suggested


def test_an_enqueued_proposal_comes_back_as_it_went_in() -> None:
    given_ = {"width": 32, "gate": "softmax", "temperature": 2.0}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(enqueueable(Example, given_, "p"))
    assert suggest(Example, study.ask(), "p") == {**given_, "bias": True}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"widht": 8}, "Did you mean 'width'"),
        ({"width": 99}, "4 to 64"),
        ({"width": 8.5}, "takes a int"),
        ({"width": True}, "takes a int"),
        ({"gate": "tanh"}, "'softmax', 'sigmoid'"),
        ({"temperature": float("nan")}, "takes a float"),
    ],
)
def test_bad_parameters_say_what_is_allowed(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        validate(Example, params, "fusion example")


def test_a_whole_number_is_a_float() -> None:
    assert validate(Example, {"temperature": 2}, "x")["temperature"] == 2.0


def test_a_parameter_without_type_or_default_is_the_authors_mistake() -> None:
    class Bad:
        def __init__(self, *, width) -> None: ...

    with pytest.raises(TypeError, match="needs a type"):
        params_of(Bad)


@pytest.mark.parametrize(("low", "high", "log"), [(2, 1, False), (0.0, 1.0, True), (-1, 1, True)])
def test_a_range_that_holds_nothing_is_refused_where_it_is_written(low, high, log) -> None:
    with pytest.raises(ValueError, match="the lowest comes first"):
        Range(low, high, log=log)
    assert 1 in Range(1, 1)
