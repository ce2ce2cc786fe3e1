"""The hooks: each is documented in the README with its signature, and each is heard."""

import inspect
import logging
import re
import typing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_search import attempt_all, request, study_of

from mmbench import api, contracts, hookspecs
from mmbench.api import hookimpl
from mmbench.features import FeatureCache
from mmbench.installed.admission import API_VERSION
from mmbench.plugins import Plugins, load_plugins
from mmbench.plugins.bringing import HOOKS, bring
from mmbench.plugins.commands import plugin_commands
from mmbench.trial import Workbench

README = (Path(__file__).parents[1] / "README.md").read_text()
SPECS = {name: value for name, value in vars(hookspecs).items() if hasattr(value, "mmbench_spec")}


@pytest.mark.parametrize("name", SPECS)
def test_each_hook_is_in_the_readme_with_its_signature(name: str) -> None:
    """Names and types, as an author writes them."""
    signature = inspect.signature(SPECS[name])
    parameters = ", ".join(
        p.name if p.annotation is Any else f"{p.name}: {_written(p.annotation)}"
        for p in signature.parameters.values()
    )
    assert f"`{name}({parameters})`" in README
    assert inspect.getdoc(SPECS[name])


def _written(annotation: Any) -> str:
    text = inspect.formatannotation(annotation)
    return re.sub(r"\b[a-z_]+(\.[a-z_]+)*\.(?=[A-Z])", "", text)


def test_the_readme_names_no_other_hook() -> None:
    named = re.findall(r"^\| `(\w+)\(", README, re.MULTILINE)
    assert sorted(named) == sorted(SPECS) == sorted(HOOKS)


# each hook is heard


class Everything:
    """A plugin with every hook."""

    def __init__(self) -> None:
        self.told: list[str] = []


def component(kind: str) -> type:
    """A new class of one kind, as small as can be: another name for a built-in."""
    base = next(iter(getattr(load_plugins(), f"{kind}s").values()))
    return type("Own", (base,), {"name": "own", "__module__": __name__})


def _register(kind: str) -> Callable[..., list[type]]:
    return hookimpl(lambda self: [component(kind)])


def _note(hook: str) -> Callable[..., None]:
    def heard(self: Everything, spec: api.TrialSpec) -> None:
        self.told.append(hook)

    return hookimpl(heard)


@hookimpl
def _register_commands(self: Everything, app: Any) -> None:
    app.command("own")(lambda: None)


KINDS = ("dataset", "encoder", "fusion", "head", "objective", "metric")
IMPLEMENTED = {
    **{f"register_{kind}s": _register(kind) for kind in KINDS},
    "register_commands": _register_commands,
    **{name: _note(name) for name in ("trial_started", "epoch_finished", "trial_finished")},
}
for _name, _hook in IMPLEMENTED.items():
    setattr(Everything, _name, _hook)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What became of every hook, after a search of one trial."""
    plugins, plugin = load_plugins.__wrapped__(), Everything()
    bring(plugins, plugin, "everything", "tests")
    run_one_trial(plugins, tmp_path_factory.mktemp("search"))
    return SimpleNamespace(plugins=plugins, told=plugin.told)


def run_one_trial(plugins: Plugins, folder: Path) -> None:
    asked = request(plugins)
    bench = Workbench(torch.device("cpu"), FeatureCache(folder))
    assert attempt_all(study_of(asked, plugins, folder), asked, plugins, bench, 1) == ["finished"]


@pytest.mark.parametrize("name", SPECS)
def test_each_hook_is_called(name: str, heard: SimpleNamespace) -> None:
    """A new hook has no entry here until its test is written: this fails."""
    assert name in IMPLEMENTED, f"write a test of {name}"
    if name == "register_commands":
        assert [c.name for c in plugin_commands(heard.plugins)] == ["own"]
    elif name.startswith("register_"):
        kind = name.removeprefix("register_").removesuffix("s")
        (registry,) = [r for r in heard.plugins.registries if r.kind == kind]
        assert registry.owner("own") == "tests"
    else:
        assert name in heard.told


def test_listeners_are_told_in_order_and_hear_what_is_documented(tmp_path: Path) -> None:
    class Diary:
        told: list[str] = []  # noqa: RUF012

        @hookimpl
        def trial_started(self, spec: api.TrialSpec) -> None:
            self.told.append(f"start {spec.fusion.name}")

        @hookimpl
        def epoch_finished(self, spec, epoch, values) -> None:
            self.told.append(f"epoch {epoch} {sorted(values)}")

        @hookimpl
        def trial_finished(self, result) -> None:
            self.told.append(f"end {result['state']}")

    plugins = load_plugins.__wrapped__()
    plugins.manager.register(Diary())
    run_one_trial(plugins, tmp_path)
    assert Diary.told[0] == "start majority" and Diary.told[-1] == "end finished"
    assert Diary.told[1] == "epoch 0 ['score', 'train_loss']"


@pytest.mark.parametrize("error", [RuntimeError("not today"), SystemExit(1)])
def test_one_that_raises_is_named_once_and_the_others_still_hear(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    class Grumpy:
        @hookimpl
        def epoch_finished(self) -> None:
            raise error

    class Listener:
        epochs: list[int] = []  # noqa: RUF012

        @hookimpl
        def epoch_finished(self, epoch: int) -> None:
            self.epochs.append(epoch)

    plugins = load_plugins.__wrapped__()
    plugins.manager.register(Listener(), "patient (dist)")  # asked last
    plugins.manager.register(Grumpy(), "grumpy (dist)")
    with caplog.at_level(logging.WARNING):
        for epoch in range(3):
            plugins.tell("epoch_finished", spec=None, epoch=epoch, values={})
    assert Listener.epochs == [0, 1, 2]
    (said,) = caplog.messages
    assert f"plugin grumpy (dist): its hook epoch_finished raised {type(error).__name__}" in said
    assert "MMBENCH_DISABLE_PLUGINS" in said


# the API


def test_hooks_may_gain_arguments_without_breaking_older_plugins() -> None:
    """An implementation takes what it knows; what is added later does not reach it."""

    class Older:
        told: list[int] = []  # noqa: RUF012

        @hookimpl
        def epoch_finished(self, epoch) -> None:
            self.told.append(epoch)

    plugins = load_plugins.__wrapped__()
    plugins.manager.register(Older())
    plugins.tell("epoch_finished", spec=None, epoch=7, values={}, learning_rate=0.1)
    assert Older.told == [7]


def test_the_api_has_its_version_and_every_name_that_is_promised() -> None:
    assert api.API_VERSION == API_VERSION == 1
    assert set(api.__all__) <= set(vars(api))
    assert set(api.__all__) >= NAMES_OF_VERSION_1, "names are added, never taken away"
    assert f"API {API_VERSION}" in README


NAMES_OF_VERSION_1 = {
    "ALL_TARGETS", "API_VERSION", "MISSING", "Capabilities", "Choice", "Column", "Component",
    "Course", "DataUnavailable", "Dataset", "Encoded", "Encoder", "Features", "Fitted", "Fused",
    "Fusion", "Head", "InvalidParameter", "Kind", "LazyValues", "MMBenchError", "Metric", "Model",
    "Objective", "Offered", "Outputs", "Part", "Range", "Split", "TargetKind", "Task",
    "TrialSpec", "Values", "When", "hookimpl", "supervised_loss", "with_penalty",
}  # fmt: skip


def test_the_api_exports_each_class_that_a_contract_or_a_hook_speaks_of() -> None:
    exported = {value for name in api.__all__ if inspect.isclass(value := getattr(api, name))}
    spoken_of = {cls for hook in SPECS.values() for cls in _classes_in(hook)}
    for contract in vars(contracts).values():
        if inspect.isclass(contract) and contract.__module__.startswith("mmbench."):
            spoken_of.add(contract)
            for member in vars(contract).values():
                spoken_of |= _classes_in(getattr(member, "__func__", member))
    missing = sorted(cls.__name__ for cls in spoken_of - exported)
    assert len(spoken_of) > 15 and not missing, f"mmbench.api lacks {missing}"


def _classes_in(function: object) -> set[type]:
    """Our classes in the annotations of a function."""
    if not inspect.isfunction(function):
        return set()
    found: set[type] = set()
    pending = list(typing.get_type_hints(function).values())
    while pending:
        hint = pending.pop()
        pending += typing.get_args(hint)
        if inspect.isclass(hint) and hint.__module__.startswith("mmbench."):
            found.add(hint)
    return found
