"""A row as commands are told it: by its file, or by an id on a board."""

from pathlib import Path

from mmbench.errors import UnknownName, did_you_mean

MOST_NAMED = 8
"""Rows listed where an id is not of one alone."""


def find_row(row: str, boards: Path) -> Path:
    """A path, or an id looked for under the boards."""
    path = Path(row)
    if path.is_file():
        return path
    files = sorted(boards.glob("*/*.json"))
    found = [file for file in files if file.stem.startswith(row)]
    if not found:
        raise UnknownName(
            f"{row!r} names no rows: it is no file, and begins no id of the {len(files)} rows "
            f"under {boards}.{did_you_mean(path.stem, [file.stem for file in files])} "
            f"`mmbench leaderboard` lists them; --leaderboards names another folder."
        )
    if len(found) > 1:
        shown = [f"{file.parent.name}/{file.stem}" for file in found[:MOST_NAMED]]
        more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
        raise UnknownName(
            f"{row!r} names {len(found)} rows under {boards}: {', '.join(shown)}{more}. "
            f"Give more of the id, or the file."
        )
    return found[0]
