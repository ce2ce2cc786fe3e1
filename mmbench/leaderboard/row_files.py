"""Rows as files of a leaderboard: ``<task>/<id>.json``, with their predictions beside them."""

import json
from pathlib import Path

from mmbench.errors import InvalidSpec, StorageError
from mmbench.files import read_bounded, write_whole
from mmbench.leaderboard.diagnoses import predictions_file
from mmbench.leaderboard.garbage import garbage_kept
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_text import MOST_BYTES, row_from_dict, row_from_text


def write_row(folder: Path, row: Row, predictions_in: Path | None = None) -> Path:
    """Write ``folder/<task>/<id>.json``; a row that could not be read again is refused.

    ``predictions_in`` is the folder of the row's predictions, which are copied beside it. Without
    it the row keeps only their hash.
    """
    row_from_dict(row.to_dict(), f"row {row.id}")
    if predictions_in is not None and row.predictions is not None:
        _copy(predictions_in / row.predictions["file"], folder / row.task)
    return write_whole(folder / row.task / f"{row.id}.json", as_text(row))


def as_text(row: Row) -> str:
    """As it stands in its file: in one order, so that a change of it is what differs."""
    data = row.to_dict()
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _copy(file: Path, folder: Path) -> None:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror or error}.") from None
    write_whole(folder / file.name, content)


@garbage_kept()
def read_rows(folder: Path) -> tuple[list[Row], list[str]]:
    """All rows in ``folder`` and its task folders, and what is wrong with files that are not rows.

    A bad file never hides the others: each problem names its file and the reason. A row that lies
    in the folder of another task is left out; of two files with one id and other content the first
    is taken.
    """
    if not folder.is_dir():
        return [], [f"There is no folder {folder}."]
    rows: dict[str, Row] = {}
    places: dict[str, Path] = {}
    problems = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]):
        try:
            row = read_row(path)
        except (InvalidSpec, StorageError) as error:
            problems.append(str(error))
            continue
        if (wrong := misplaced(path, row)) is not None:
            problems.append(wrong)
            continue
        if rows.setdefault(row.id, row) != row:
            problems.append(same_id(path, row, places[row.id], rows[row.id]))
        places.setdefault(row.id, path)
    return list(rows.values()), problems


def row_files(place: Path) -> list[Path]:
    """The file itself, or all JSON files in the folders below that hold rows."""
    if place.is_file():
        return [place]
    folders = {file.parent for file in place.rglob("*.json") if _named_by_id(file)}
    found = sorted(file for folder in folders for file in folder.glob("*.json"))
    if not found:
        raise StorageError(
            f"There is no row at {place}: a row is a file <id>.json in the folder of its task."
        )
    return found


def _named_by_id(file: Path) -> bool:
    return len(file.stem) == 12 and all(c in "0123456789abcdef" for c in file.stem)


def predictions_without_row(place: Path) -> list[Path]:
    """Predictions below a folder whose row does not lie beside them."""
    rest = predictions_file("")
    found = sorted(place.rglob(predictions_file("*")))
    return [f for f in found if not f.with_name(f.name.removesuffix(rest) + ".json").exists()]


def misplaced(path: Path, row: Row) -> str | None:
    """What is wrong with a row that lies in another folder than that of its task."""
    unnamed = path.parent.name in ("", "..")  # of `verify .`, say
    folder = path.parent.resolve() if unnamed else path.parent
    if folder.name == row.task:
        return None
    place = folder.parent / row.task / path.name
    step = f"{place} is there, too: keep one" if place.exists() else f"move it to {place.parent}/"
    return f"{path} is a row of {row.task}; {step}."


def same_id(path: Path, row: Row, other_path: Path, other: Row) -> str:
    """What is wrong with two files that are one row, but differ."""
    return (
        f"{path} is row {row.id}, and so is {other_path}, with other content: {row.hardware}, "
        f"{row.created[:10]} and {other.hardware}, {other.created[:10]}. Keep one of them."
    )


def read_row(path: Path) -> Row:
    """One row from its file, whose name is the row's id."""
    try:
        text = read_bounded(path, MOST_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidSpec(f"{path} is not text in UTF-8.") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from None
    row = row_from_text(text, str(path))
    if path.stem != row.id:
        raise InvalidSpec(f"{path}: id is {row.id!r}; the file of a row is named by its id.")
    return row
