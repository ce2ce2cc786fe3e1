"""Where the rows of a ranking lie: a folder of boards, or one of controlled comparisons."""

from pathlib import Path

from mmbench.errors import StorageError
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import read_rows

COMPARISONS = "comparisons"
"""The folder of comparisons among the boards; the one folder there that is no task."""
ROWS = "rows"
"""The folder of one comparison that holds a folder of rows for its task."""


def board_folders(boards: Path) -> list[Path]:
    """The folder of each task's board, by name."""
    folders = boards.iterdir() if boards.is_dir() else []
    return sorted(f for f in folders if f.is_dir() and f.name != COMPARISONS)


def rows_under(folder: Path) -> tuple[list[Row], list[str]]:
    """Rows of every task, each once, and what could not be read.

    ``folder`` holds comparisons (``<name>/rows/<task>/<id>.json``) if there are any in it, else
    boards (``<task>/<id>.json``). A row that several comparisons share is the newest of them.
    """
    compared = sorted(folder.glob(f"*/{ROWS}"))
    rows, problems = [], []
    for place in compared or board_folders(folder):
        found, wrong = read_rows(place)
        rows += found
        problems += wrong
    if not rows:
        why = f": {'; '.join(problems)}" if problems else "."
        raise StorageError(
            f"There are no rows under {folder}{why} It takes a folder of boards or of comparisons; "
            f"`mmbench search` and `mmbench compare` make them."
        )
    newest = {(row.task, row.id): row for row in sorted(rows, key=lambda row: row.created)}
    return list(newest.values()), problems
