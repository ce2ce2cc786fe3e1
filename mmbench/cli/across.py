"""``mmbench leaderboard --across``: which method is the best over all tasks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mmbench.cli.output import print_json, terminal

if TYPE_CHECKING:
    from mmbench.leaderboard.row import Row


def show_across(rows: "Sequence[Row]", boards: Path | None, *, as_json: bool) -> None:
    """The ranking of these rows: a table and sentences, or JSON; and the index of ``boards``."""
    from mmbench.leaderboard.across import across

    found = across(rows)
    if boards is not None:
        from mmbench.leaderboard.across.page import write_index

        typer.echo(f"wrote {write_index(boards)}", err=True)
    if as_json:
        print_json(found.to_dict())
        return
    from mmbench.leaderboard.across.terminal import terminal_table
    from mmbench.leaderboard.across.words import words

    console = terminal()
    console.print(terminal_table(found, console.width))
    for line in words(found):
        console.print(line)
