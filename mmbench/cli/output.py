"""What a command says to machines: one JSON document on stdout, and nothing beside it.

And what becomes of a command whose reader, such as ``head``, has had enough.
"""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer
    from rich.console import Console

import typer

from mmbench.errors import StorageError

CLOSED = 141
"""What a shell shows of a tool that wrote to a pipe which nobody reads: 128 and SIGPIPE."""
_kept: list[TextIO] = []
"""The real stdout, while everybody else writes to stderr."""


class _UntilClosed(io.FileIO):
    """A standard stream: when its reader has gone, the program ends without a word.

    It alone: any other pipe that breaks, such as one to a database, is an error to be seen.
    """

    def write(self, content: "ReadableBuffer") -> int:
        try:
            return super().write(content)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # for what is in buffers yet
            if isinstance(error, BrokenPipeError):
                raise SystemExit(CLOSED) from None
            raise StorageError(
                f"What is printed cannot be written: {error.strerror}. Send it elsewhere."
            ) from None


def terminal(*, stderr: bool = False) -> "Console":
    """A console that shows texts as they are: rich would take a name in brackets for a style."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False)


def print_places(console: "Console", places: "Iterable[tuple[str, object]]") -> None:
    """Where things lie and how to go on, one a line, each to be copied whole."""
    from rich.text import Text

    lines = [(label, str(place)) for label, place in places]
    width = max(len(label) for label, _ in lines) + 2
    console.print()
    for label, place in lines:
        line = Text.assemble(f"{label:>{width}}  ", (place, "bold"))
        console.print(line, soft_wrap=True)


@contextmanager
def until_its_reader_goes() -> Iterator[None]:
    """What runs inside ends with who reads its output; streams of somebody else are left alone."""
    ours = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            raw = io.BufferedWriter(_UntilClosed(stream.fileno(), "wb", closefd=False))
            kept = io.TextIOWrapper(
                raw,
                stream.encoding,
                stream.errors,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, kept)
            ours.append(kept)
    try:
        yield
    finally:
        for kept in ours:
            kept.flush()


@contextmanager
def stdout_for_json() -> Iterator[None]:
    """Inside, what any component prints goes to stderr; only ``print_json`` reaches stdout."""
    _kept.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _kept.pop()


def stdout_for_all() -> None:
    """A command of a plugin writes its document itself."""
    if _kept:
        sys.stdout = _kept[-1]


def print_json(document: Any) -> None:
    """Print a document of what JSON knows; numbers that it does not know are an error."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo(text, file=_kept[-1] if _kept else None)
