"""Specs as canonical data."""

import json
import subprocess
import sys

import pytest

from mmbench.errors import Incompatible, InvalidParameter, InvalidSpec, UnknownName
from mmbench.plugins import load_plugins
from mmbench.resolve import resolve
from mmbench.spec import LEAST_STEPS, Component, TrainSpec, TrialSpec, spec_from_json

PLAIN = {
    "task": "synergy",
    "encoders": {"b": "mlp", "a": {"name": "mlp", "params": {"width": 32}}},
    "fusion": {"name": "gated", "params": {}},
    "head": "linear",
}


def spec(**changes: object) -> TrialSpec:
    return spec_from_json(json.dumps({**PLAIN, **changes}))


def resolved(**changes: object) -> TrialSpec:
    return resolve(spec(**changes), load_plugins()).spec


def test_a_spec_survives_json() -> None:
    full = resolved()
    assert spec_from_json(full.to_json()) == full


def test_the_id_is_that_of_the_resolved_spec() -> None:
    written_out = resolved(fusion={"name": "gated", "params": dict(resolved().fusion.params)})
    assert resolved().id == written_out.id
    assert resolved().id != resolved(seed=1).id
    assert resolved().family == resolved(seed=1).family


def test_the_id_is_the_same_in_another_process_and_order() -> None:
    code = (
        "from mmbench.spec import *\n"
        "c = Component\n"
        "print(TrialSpec(c('t'), {%s}, c('f', {%s}), c('h')).id)"
    )
    orders = [
        ("'a': c('x'), 'b': c('y')", "'p': 1, 'q': 2.5"),
        ("'b': c('y'), 'a': c('x')", "'q': 2.5, 'p': 1"),
    ]
    ids = {
        subprocess.run(
            [sys.executable, "-c", code % order], capture_output=True, text=True, check=True
        ).stdout
        for order in orders
    }
    assert len(ids) == 1


def test_epochs_and_patience_follow_the_rows() -> None:
    spec = TrainSpec(max_epochs=10, patience=3, batch_size=128, min_steps=1000)
    many, few, fewest = (spec.lasting(rows) for rows in (128 * 100, 1300, 1))
    assert many == spec, "a thousand steps in ten epochs"
    assert (few.max_epochs, few.patience) == (91, 28), "of eleven steps each"
    assert (fewest.max_epochs, fewest.patience) == (1000, 300)
    assert TrainSpec().lasting(1) == TrainSpec(), "without a least number of steps"


def test_named_epochs_are_meant_and_old_rows_keep_their_id() -> None:
    assert resolved().train.min_steps == LEAST_STEPS
    named = resolved(train={"max_epochs": 10})
    assert named.train.min_steps == 0 and "min_steps" not in named.to_json()
    assert resolved(train={"max_epochs": 10, "min_steps": 5}).train.min_steps == 5
    assert named.id != resolved().id


def test_encoders_that_are_not_read_are_dropped() -> None:
    alone = resolved(fusion={"name": "only", "params": {"modality": "b"}})
    assert set(alone.encoders) == {"b"}
    assert alone.fusion_label == "only-b"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"fusion": "gatd"}, UnknownName, "Did you mean 'gated'"),
        ({"task": "sinergy"}, UnknownName, "no task named 'sinergy'. Did you mean 'synergy'"),
        ({"encoders": {"a": "mlp"}}, Incompatible, "No encoder is given for the modality 'b'"),
        ({"encoders": {"a": "mlp", "b": "mlp", "c": "mlp"}}, UnknownName, "'c', which is no"),
        ({"encoders": {"a": "mlp", "b": "cnn"}}, Incompatible, "cnn reads image; b is tabular"),
        ({"fusion": "cross-attention"}, Incompatible, "attends over tokens"),
        ({"fusion": {"name": "only", "params": {"modality": "x"}}}, Exception, "'x'"),
        ({"train": {"max_epochs": 0}}, InvalidParameter, "at least 1"),
        ({"train": {"learning_rte": 1}}, InvalidParameter, "Did you mean 'learning_rate'"),
        ({"seed": -1}, InvalidSpec, "whole number"),
        ({"train": 5}, InvalidSpec, "spec.train maps"),
        ({"fussion": "x"}, InvalidSpec, "Did you mean 'fusion'"),
        ({"schema": 99}, InvalidSpec, "schema 99"),
        ({"head": 7}, InvalidSpec, "spec.head"),
    ],
)
def test_mistakes_are_named(changes: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resolved(**changes)


def test_text_that_is_no_json_is_named() -> None:
    with pytest.raises(InvalidSpec, match="not JSON"):
        spec_from_json("{")


def test_labels() -> None:
    assert spec().encoders_label == "a:mlp + b:mlp"
    assert Component("x") == Component("x", {})
