"""The contract of each kind of component, from its class alone."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from mmbench.contracts import Dataset, Encoder, Fusion, Head, Metric, Objective
from mmbench.testing.columns import example_column
from mmbench.testing.command import command_checks
from mmbench.testing.contract import Contract
from mmbench.testing.dataset import dataset_checks
from mmbench.testing.encoder import encoder_checks
from mmbench.testing.fusion import fusion_checks
from mmbench.testing.head import head_checks
from mmbench.testing.metric import metric_checks
from mmbench.testing.objective import objective_checks
from mmbench.testing.reference import Reference
from mmbench.testing.subject import Check
from mmbench.types import Column

CHECKS: Mapping[str, Callable[[], tuple[Check, ...]]] = {
    "dataset": dataset_checks,
    "encoder": encoder_checks,
    "fusion": fusion_checks,
    "head": head_checks,
    "objective": objective_checks,
    "metric": metric_checks,
    "command": command_checks,
}


def contract_of(kind: str, component: Any) -> Contract:
    """What a component promises with its defaults, and for an encoder of example values."""
    if kind == "dataset":
        return _of_dataset(component)
    given: Callable[[], tuple[Any, ...]] = lambda: (component,)
    if kind == "encoder":
        given = lambda: (component, example_column(component.accepts))
    name = getattr(component, "name", getattr(component, "__name__", str(component)))
    return Contract(kind, name, CHECKS[kind](), given)


def _of_dataset(cls: type[Dataset], **params: Any) -> Contract:
    """All promises but one ask one instance: most read their data when they load."""
    build = partial(cls, **params)
    return Contract("dataset", cls.name, dataset_checks(build), cache(lambda: (build(),)))


def fusion_contract(
    cls: type[Fusion], *, reference: Reference | None = None, **params: Any
) -> type:
    """Tests of a fusion; ``reference(fusion, features)`` gives its output by a slow formula."""
    return Contract("fusion", cls.name, fusion_checks(reference), lambda: (cls,), params).tests()


def encoder_contract(
    cls: type[Encoder],
    column: Column | None = None,
    *,
    reference: Reference | None = None,
    **params: Any,
) -> type:
    """Tests of an encoder on a few training rows; without ``column``, on examples of its kind.

    ``reference(encoder, inputs)`` gives its output by a slow formula.
    """
    train = example_column(cls.accepts) if column is None else column
    checks = encoder_checks(reference)
    return Contract("encoder", cls.name, checks, lambda: (cls, train), params).tests()


def head_contract(cls: type[Head], *, reference: Reference | None = None, **params: Any) -> type:
    """Tests of a head; ``reference(head, fused)`` gives its output by a slow formula."""
    return Contract("head", cls.name, head_checks(reference), lambda: (cls,), params).tests()


def objective_contract(
    cls: type[Objective], *, reference: Reference | None = None, **params: Any
) -> type:
    """Tests of an objective; ``reference(objective, outputs, target)`` gives its loss slowly."""
    checks = objective_checks(reference)
    return Contract("objective", cls.name, checks, lambda: (cls,), params).tests()


def metric_contract(cls: type[Metric], *, reference: Reference | None = None) -> type:
    """Tests of a metric; ``reference(scores, target)`` gives the figure by a slow formula."""
    return Contract("metric", cls.name, metric_checks(reference), lambda: (cls,)).tests()


def dataset_contract(cls: type[Dataset], **params: Any) -> type:
    """Tests of a dataset, read with ``params``."""
    return _of_dataset(cls, **params).tests()


def command_contract(plugin: Any) -> type:
    """Tests of the commands that a module, or another object with the hook, adds."""
    return contract_of("command", plugin).tests()
