"""``--task`` or ``--data``: every command that takes a task takes your own table as well.

A command is written with a parameter ``task: Component``; ``takes_data`` puts the options in its
place, reads the table, and shows what was found in it before the command goes on.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.errors import InvalidParameter, InvalidSpec

if TYPE_CHECKING:
    from mmbench.spec import Component
    from mmbench.tables.options import Asked, TableOptions
    from mmbench.tables.prepared import Prepared

Many = list[str] | None
TARGET_KINDS = (
    "classification, multilabel, regression, sequence (a text to be said), or, without --target, "
    "retrieval (one side of each row found by the other)."
)
GROUPED = ("image", "text", "audio", "video", "series", "tabular")
"""Options that name columns of a kind."""


def _columns(help_: str) -> Any:
    return Annotated[Many, typer.Option(metavar="COLUMNS", help=help_)]


OPTIONS: dict[str, Any] = {
    "data": Annotated[
        Path | None,
        typer.Option(help="Your own table (CSV, TSV, Parquet, JSONL) or task file (YAML, TOML)."),
    ],
    "target": Annotated[str | None, typer.Option(help="With --data: the column to predict.")],
    "split": Annotated[
        str | None, typer.Option(help="A column, group=COLUMN, or shares as in 0.8/0.1/0.1.")
    ],
    "image": _columns("Columns with paths to images."),
    "text": _columns("Text columns; those named together, a,b, are read as one."),
    "audio": _columns("Columns with paths to sounds."),
    "video": _columns("Columns with paths to folders of frames, or to animated GIFs."),
    "series": _columns("Columns with sequences of numbers, or paths to .npy files."),
    "tabular": _columns("Columns of numbers, categories and dates."),
    "kind": Annotated[Many, typer.Option(metavar="COLUMN=KIND", help="The kind of one column.")],
    "target_kind": Annotated[str | None, typer.Option(help=TARGET_KINDS)],
    "separator": Annotated[str | None, typer.Option(help="Between the labels of a multilabel.")],
    "mirrored": Annotated[
        str | None,
        typer.Option(help="Columns of pictures, a,b, that mean the same mirrored; see train.flip."),
    ],
    "root": Annotated[
        Path | None, typer.Option(help="Where paths in the table start; else its own folder.")
    ],
    "image_size": Annotated[int | None, typer.Option(min=8, help="Pixels; default 64.")],
    "audio_seconds": Annotated[float | None, typer.Option(min=0, help="Longer sounds are cut.")],
}


def takes_data(command: Callable[..., None]) -> Callable[..., None]:
    """The same command with ``--task`` and the options of ``--data`` instead of ``task``."""
    signature = inspect.signature(command)
    required = signature.parameters["task"].default is inspect.Parameter.empty

    @wraps(command)
    def wrapped(**given: Any) -> None:
        said = {name: given.pop(name) for name in OPTIONS if given.get(name) or name in given}
        quiet = bool(given.get("as_json"))
        task = component(given.pop("task"), said, quiet=quiet, required=required)
        command(task=task, **given)

    def option(name: str, annotation: Any) -> inspect.Parameter:
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(name, kind, default=None, annotation=annotation)

    named = Annotated[str | None, typer.Option(help="What to solve: see `mmbench list tasks`.")]
    kept = [p for name, p in signature.parameters.items() if name != "task"]
    parameters = [
        option("task", named),
        *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept),
        *(option(name, annotation) for name, annotation in OPTIONS.items()),
    ]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def component(
    task: str | None, said: Mapping[str, Any], *, quiet: bool, required: bool = True
) -> "Component | None":
    """The task that the options name, read and shown if it is a table of one's own."""
    from mmbench.spec import Component

    if said.get("data") is None:
        if set_ := [name for name, value in said.items() if value]:
            raise InvalidParameter(f"--{set_[0].replace('_', '-')} goes with --data FILE.")
        if task is None and required:
            raise InvalidSpec("Say what to solve: --task NAME, or --data FILE --target COLUMN.")
        return None if task is None else Component(task)
    if task is not None:
        raise InvalidParameter("Give --task or --data, not both.")
    name, prepared = read(said, quiet=quiet)
    return Component(f"table.{name}", prepared.options.params())


def read(said: Mapping[str, Any], *, quiet: bool) -> "tuple[str, Prepared]":
    """The table that the options name, with its report printed unless ``quiet``."""
    from mmbench.cli.inspect import decoding, show
    from mmbench.tables.preparing import prepare_anew
    from mmbench.tables.taskfile import is_task_file

    name, options, asked = options_of(said)
    try:
        with decoding(quiet=quiet) as watch:
            prepared = prepare_anew(options, asked, watch)
    except InvalidParameter as error:
        if is_task_file(said["data"]):
            raise InvalidParameter(f"{said['data']}: {error}") from None
        raise
    if not quiet:
        show(name, prepared)
    return name, prepared


def options_of(said: Mapping[str, Any]) -> "tuple[str, TableOptions, Asked]":
    """A task file's options, or those of the command line; the latter go before the former.

    A table is named after its file and target, so that each target has a board of its own.
    """
    from mmbench.tables.options import Asked, TableOptions, named
    from mmbench.tables.taskfile import is_task_file, read_task_file

    data = Path(said["data"])
    name, options, asked = data.stem, TableOptions(path=str(data)), Asked()
    if is_task_file(data):
        name, options, asked = read_task_file(data)
    of_table = {f.name for f in fields(TableOptions)}
    set_ = {k: v for k, v in said.items() if k in of_table and v is not None}
    if "root" in set_:
        set_["root"] = str(set_["root"])
    another = set_.get("target", options.target) != options.target
    if another:
        set_ = {"target_kind": "", "separator": "", **set_}  # those of the file are of its target
    options = replace(options, **set_)
    if another or not is_task_file(data):
        name = f"{name}-{options.target or options.target_kind}"
    groups = tuple((kind, (item,)) for kind in GROUPED for item in said.get(kind) or ())
    anew = {name for _, (item,) in groups for name in (item, *named(item, ()))}
    of_file = {column: kind for column, kind in asked.kinds.items() if column not in anew}
    kinds = {**of_file, **_kinds(said.get("kind") or ())}
    if groups or kinds != asked.kinds:
        options = replace(options, modalities="")
    return _label(name), options, Asked(groups, kinds)


def _kinds(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        column, equals, kind = item.rpartition("=")
        if not equals:
            raise InvalidParameter(f"--kind takes COLUMN=KIND; got {item!r}.")
        if found.setdefault(column, kind) != kind:
            raise InvalidParameter(
                f"--kind {item}: {column!r} is said to be {found[column]} too. Say one of them."
            )
    return found


def _label(name: str) -> str:
    """What boards and studies are named after; it names folders."""
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "data"
