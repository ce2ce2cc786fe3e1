"""Options that several commands share, and how their values are read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mmbench.errors import InvalidParameter, did_you_mean

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Out = Annotated[Path, typer.Option(help="Folder of studies, models and the MLflow store.")]
Boards = Annotated[Path, typer.Option("--leaderboards", help="Folder of rows and tables.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Diagnoses = Annotated[
    bool, typer.Option(help="Examine the models of final evaluations: robustness and the like.")
]
Storage = Annotated[
    str | None,
    typer.Option(envvar="MMBENCH_STORAGE", help="Optuna storage: a file, or any Optuna URL."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, as in train.max_epochs=20."),
]

Moved = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="task.KEY=PLACE", help="Where its data lie now, as in task.path=FILE."
    ),
]

Together = Annotated[
    int,
    typer.Option(min=1, help="Trainings of one structure at once; 1: one after the other."),
]

TOGETHER = 16
"""On a CPU more at once are hardly faster: see leaderboards/speed.md."""
OUT, BOARDS = Path("runs"), Path("leaderboards")


def names(given: Sequence[str] | None) -> list[str]:
    """``--fusion a,b --fusion c`` as [a, b, c]."""
    found = [name.strip() for item in given or () for name in item.split(",")]
    if "" in found or any(name.startswith("=") or name.endswith("=") for name in found):
        raise InvalidParameter(
            f"A name is empty in {', '.join(map(repr, given or ()))}. Write names, as in a,b; or "
            "leave the option out."
        )
    return found


def settings(given: Sequence[str] | None, sections: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``train.max_epochs=3`` by section; a section may be ``encoder.image``."""
    found: dict[str, dict[str, Any]] = {}
    for item in given or ():
        key, equals, value = item.partition("=")
        section, dot, name = key.rpartition(".")
        if not (equals and dot and section and name):
            raise InvalidParameter(f"--set takes SECTION.NAME=VALUE; got {item!r}.")
        if section not in sections:
            raise InvalidParameter(
                f"--set {item}: there is no section {section!r}.{did_you_mean(section, sections)} "
                f"Sections: {', '.join(sections)}."
            )
        found.setdefault(section, {})[name] = _value(value)
    return found


def task_settings(given: Sequence[str] | None) -> dict[str, Any]:
    """The settings of the task alone: they decide which other sections there are."""
    return settings([item for item in given or () if item.startswith("task.")], ("task",)).get(
        "task", {}
    )


def _value(text: str) -> Any:
    """A JSON number or truth value, else the text itself."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, int | float | bool) else text


def shown(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in params.items())
