"""What a command says to machines: one JSON document on stdout, and nothing beside it."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

import typer

_kept: list[TextIO] = []
"""The real stdout, while everybody else writes to stderr."""


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
