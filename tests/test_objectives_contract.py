"""Every paradigm there is keeps the contract."""

import pytest

from mmbench.cli.described import spec_of
from mmbench.resolve import resolve
from mmbench.spec import Component
from mmbench.testing import objective_checks
from mmbench.testing.practice import installed
from mmbench.testing.training import training_checks

CORNERS = {
    "contrastive": {"learned": False},
    "deep-cca": {"width": 2},
    "functional-entropy": {"samples": 2},
    "joint": {"weights": "a=0.1,b=2"},
    "mla": {"alpha": 0.01},
    "ogm-ge": {"alpha": 1.0, "noise": False},
    "opm": {"q_base": 0.6, "alpha": 1.0, "applied": 1.0, "warmup": 0},
    "pmr": {"alpha": 2.0, "mu": 0.5, "entropy_epochs": 5, "momentum": 0.9},
    "reconboost": {"reconcile": 0.9, "agreement": 1.0},
}
"""Hyperparameters far from the defaults, for paradigms that then take another path."""
TRAINING = {check.__name__ for check in training_checks()}
"""Dear, and the same code whatever the hyperparameters: once for each paradigm."""


def contract():
    """Every check for every paradigm; in its corner, those without a training."""
    for name, cls in sorted(installed().objectives.items()):
        for check in objective_checks():
            yield pytest.param(cls, {}, check, id=f"{name}-{check.__name__}")
        if name in CORNERS:
            for check in objective_checks():
                if check.__name__ not in TRAINING:
                    yield pytest.param(cls, CORNERS[name], check, id=f"{name}+-{check.__name__}")


@pytest.mark.parametrize(("cls", "params", "check"), list(contract()))
def test_contract(cls, params, check):
    check(cls, **params)


@pytest.mark.parametrize("name", sorted(installed().objectives))
def test_a_run_that_names_a_paradigm_alone_is_complete(name):
    cls = installed().objectives[name]
    task = "emoji-retrieval" if cls.targets == {"retrieval"} else "synergy"
    spec = spec_of(Component(task), None, [], None, name, [], installed())
    assert resolve(spec, installed()).objective is cls
