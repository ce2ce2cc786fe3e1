"""A row beside its models: what a final evaluation leaves in ``runs/`` for `mmbench publish`.

The folder of the first seed holds ``row.json`` and the predictions of all seeds.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from mmbench.errors import StorageError
from mmbench.evaluation.predictions import write_predictions
from mmbench.files import read_bounded, write_whole
from mmbench.final import MODEL, SPEC, SeedResult
from mmbench.leaderboard.diagnoses import Predictions, predictions_file
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_text import MOST_BYTES, row_from_text
from mmbench.spec import spec_from_json

ROW = "row.json"


def keep_predictions(seeds: Sequence[SeedResult]) -> Predictions:
    """Write the test scores of one configuration's seeds into the folder of the first."""
    path = seeds[0].folder / predictions_file(seeds[0].spec.family)
    return {"file": path.name, "sha256": write_predictions(path, [s.test_scores for s in seeds])}


def keep_row(seeds: Sequence[SeedResult], row: Row) -> Path:
    return write_whole(seeds[0].folder / ROW, json.dumps(row.to_dict(), indent=2))


def kept_rows(folder: Path) -> list[tuple[Row, Path]]:
    """The rows of a study, its finals, one seed or its model; each with the folder it lies in.

    Raises ``StorageError`` if there is none, ``InvalidSpec`` if one cannot be read.
    """
    home = folder.parent if folder.name == MODEL else folder
    found = _of_seed(home) if (home / SPEC).exists() else _inside(home) or _inside(home / "finals")
    if not found:
        raise StorageError(
            f"{folder} holds no row: it is neither a study whose final evaluation is done, nor a "
            f"seed or model of one. `mmbench search` and `mmbench run` make rows."
        )
    return found


def _of_seed(folder: Path) -> list[tuple[Row, Path]]:
    """The row that this seed is part of: beside it or its first seed; else the newest."""
    family = spec_from_json(_text(folder / SPEC)).family
    found = [(row, place) for row, place in _inside(folder.parent) if row.id == family]
    own = [(row, place) for row, place in found if place == folder]
    return own or sorted(found, key=lambda f: f[0].created)[-1:]


def _inside(folder: Path) -> list[tuple[Row, Path]]:
    return [
        (row_from_text(_text(path), str(path)), path.parent)
        for path in sorted(folder.glob(f"*/{ROW}"))
    ]


def _text(path: Path) -> str:
    try:
        return read_bounded(path, MOST_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} cannot be read: {error}.") from None
