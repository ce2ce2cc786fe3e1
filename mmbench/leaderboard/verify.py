"""Check that rows say what follows from their spec, their search and their stored predictions.

Needs the task and plugins of the rows, but no model, no MLflow and no network. What it cannot know
is whether the predictions are those of the model: for that, train again (`--rerun`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from torch import Tensor

from mmbench.errors import DataUnavailable, MMBenchError
from mmbench.evaluation.predictions import Wanted, read_predictions
from mmbench.files import write_whole
from mmbench.leaderboard.checked import Checked, rowless
from mmbench.leaderboard.coherent import Board, of_itself, with_its_study
from mmbench.leaderboard.cost_document import check_cost, hidden_flags
from mmbench.leaderboard.restate import (
    Single,
    differences,
    from_predictions,
    from_spec,
    with_ranges,
)
from mmbench.leaderboard.row import Row, moved, used_plugins
from mmbench.leaderboard.row_files import (
    as_text,
    misplaced,
    predictions_without_row,
    read_row,
    read_rows,
    row_files,
)
from mmbench.leaderboard.studied import check_search
from mmbench.parts import PARTS, split_digest
from mmbench.plugins import Plugins
from mmbench.provenance import departures, label
from mmbench.resolve import resolve, resolve_dataset
from mmbench.shape import said_twice
from mmbench.space import NOWHERE_ELSE, Value
from mmbench.spec import as_document, canonical_json, family_of, spec_from_dict
from mmbench.types import Split

MOST_DIFFERENCES = 5
GAIN = "gain.mean"
"""It may follow from predictions and from two rows; what is wrong with it is said once."""


def verify(
    rows: Sequence[Path],
    plugins: Plugins,
    *,
    restate: bool = False,
    places: Mapping[str, Value] = NOWHERE_ELSE,
) -> Iterator[Checked]:
    """Each row in these files, folders and trees; an invalid one never stops the others.

    Predictions whose row is gone follow: deleting a row must not go unseen.
    ``restate``: rows whose intervals alone are wrong are written anew, and checked again.
    ``places``: where data lie now, for rows whose data lie somewhere.
    """
    files = [file for place in rows for file in row_files(place)]
    verifier = Verifier(plugins, places)
    left = [file for place in rows for file in predictions_without_row(place)]
    return chain(map(verifier.restated if restate else verifier.check, files), map(rowless, left))


@dataclass(slots=True)
class Data:
    """The installed data of a task."""

    key: str
    splits: dict[str, str]
    test: Split
    outputs: int | None
    """None: as many as the model has, such as dimensions of a space that pairs meet in."""

    def scores_of(self, row: Row) -> Wanted:
        return Wanted(len(row.seeds), len(self.test), self.outputs)


class Verifier:
    """Checks row after row; the data of the last task is kept."""

    def __init__(self, plugins: Plugins, places: Mapping[str, Value] = NOWHERE_ELSE) -> None:
        self.plugins, self.places = plugins, places
        self._last: Data | None = None
        self._boards: dict[Path, Board] = {}

    def check(self, file: Path) -> Checked:
        checked = Checked(file)
        try:
            row = checked.row = read_row(file)
            if self.places and spec_from_dict(row.spec).task.places:
                row = checked.row = moved(row, self.places)
        except MMBenchError as error:
            checked.problems.append(str(error))
            return checked
        if self._plugins_are_missing(row, checked):
            return checked
        steps: tuple[Callable[[Row, Checked], None], ...]
        steps = (
            self._file, self._spec, self._seeds, self._search, self._gain, self._validation,
            self._version, self._splits, self._figures, self._coherent,
        )  # fmt: skip
        for step in steps:
            try:
                step(row, checked)
            except MMBenchError as error:
                checked.problems.append(str(error))
            except Exception as error:  # noqa: BLE001 - a stranger's row may hold anything
                checked.problems.append(
                    f"{step.__name__.strip('_')}: {type(error).__name__}: {error}"
                )
        checked.problems = list(dict.fromkeys(checked.problems))
        return checked

    def restated(self, file: Path) -> Checked:
        """The check, after the intervals that follow were written if they alone differed."""
        checked = self.check(file)
        if checked.ranged is None:
            return checked
        write_whole(file, as_text(checked.ranged))
        again = self.check(file)
        again.notes.append("its intervals were computed again from its predictions")
        return again

    def _plugins_are_missing(self, row: Row, checked: Checked) -> bool:
        """Whether the row cannot be read without a plugin; others than it had are noted."""
        try:
            used = used_plugins(row)
        except MMBenchError as error:
            checked.problems.append(str(error))
            return True
        checked.plugins = [label(plugin) for plugin in used]
        found = departures(used, self.plugins)
        checked.problems += [str(departure) for departure in found if departure.missing]
        checked.notes += [departure.text for departure in found if not departure.missing]
        return bool(checked.problems)

    def _file(self, row: Row, checked: Checked) -> None:
        if twice := said_twice(checked.file.read_text(encoding="utf-8")):
            checked.problems.append(f"{', '.join(twice)}: said twice in one object; the last holds")
        if (wrong := misplaced(checked.file, row)) is not None:
            checked.problems.append(wrong)

    def _spec(self, row: Row, checked: Checked) -> None:
        spec = spec_from_dict(row.spec)
        family = family_of(row.spec)
        if family != row.id:
            checked.problems.append(f"the id of this spec is {family}, not {row.id}")
        resolved = resolve(spec, self.plugins).spec.to_dict()
        if canonical_json(resolved) != canonical_json(row.spec):
            checked.notes.append("components have other settings now than when the row was made")

    def _seeds(self, row: Row, checked: Checked) -> None:
        if row.spec.get("seed") != row.seeds[0]:
            checked.problems.append(
                f"spec.seed is {row.spec.get('seed')!r}, the first of seeds is {row.seeds[0]}"
            )
        if row.search.get("seed") in row.seeds:
            checked.problems.append(
                f"the search used the seed {row.search['seed']}: it is not fresh"
            )

    def _search(self, row: Row, checked: Checked) -> None:
        problems, notes = check_search(row.search)
        checked.problems += problems
        checked.notes += notes
        if "history" not in row.search:
            checked.lacks("list of the trials of its search")

    def _gain(self, row: Row, checked: Checked) -> None:
        """It is there with the row that it is over; an older row did not say which that was."""
        named = row.search.get("single")
        if row.gain is None and named is not None:
            checked.problems.append(f"gain is null, but search.single is row {named['id']}")
        if row.gain is not None and named is None and not checked.compared:
            checked.problems.append("gain is given, but search.single does not say over which row")

    def _validation(self, row: Row, checked: Checked) -> None:
        """It chooses the row of the headline; that it can be is all that is known without data."""
        lowest, highest = self.plugins.metrics[row.metric]().ends
        for score in row.validation["per_seed"]:
            if (lowest is not None and score < lowest) or (highest is not None and score > highest):
                checked.problems.append(
                    f"validation.per_seed holds {score:g}, which is no {row.metric}"
                )

    def _coherent(self, row: Row, checked: Checked) -> None:
        said = any(problem.startswith(GAIN) for problem in checked.problems)
        found = [*of_itself(row), *with_its_study(row, self._beside(checked.file))]
        checked.problems += [p for p in found if not (said and p.startswith(GAIN))]

    def _beside(self, file: Path) -> Board:
        """All rows of the folder; one that cannot be read is named when it is its turn."""
        if file.parent not in self._boards:
            self._boards[file.parent] = Board(read_rows(file.parent)[0])
        return self._boards[file.parent]

    def _version(self, row: Row, checked: Checked) -> None:
        _, dataset = resolve_dataset(spec_from_dict(row.spec).task, self.plugins)
        if dataset.version != row.task_version:
            checked.problems.append(
                f"the row is of {row.task} at version {row.task_version!r}; installed is "
                f"{dataset.version!r}: its figures cannot be computed again here"
            )

    def _splits(self, row: Row, checked: Checked) -> None:
        if row.splits is None:
            checked.lacks("hashes of its splits")
            return
        now = self._data(row).splits
        if different := [part for part in PARTS if row.splits.get(part) != now[part]]:
            checked.problems.append(
                f"the {' and '.join(different)} split of {row.task} is not the installed one"
            )

    def _figures(self, row: Row, checked: Checked) -> None:
        check_cost(row.cost)
        checked.problems += hidden_flags(row.cost)
        scores = self._predictions(row, checked)
        if scores is None:
            restated = from_spec(row, self.plugins)
        else:
            test, single = self._data(row).test, self._single(row, checked)
            restated = from_predictions(row, scores, single, test, self.plugins)
            checked.recomputed = True
            if odd := sorted(row.quality.keys() ^ restated.quality.keys()):
                checked.notes.append(
                    f"{', '.join(odd)}: in the row or installed here, not both, so not computed "
                    "again"
                )
        found = differences(row, restated)
        before = len(checked.problems)
        checked.problems += found[:MOST_DIFFERENCES]
        if len(found) > MOST_DIFFERENCES:
            checked.problems.append(f"and {len(found) - MOST_DIFFERENCES} more figures differ")
        ranged = with_ranges(row, restated)
        if found and checked.recomputed and not differences(ranged, restated):
            checked.problems.append(
                "only ends of intervals differ, as where an older mmbench computed them: `mmbench "
                "verify --restate` writes those that follow from the predictions"
            )
            checked.ranged = None if before else ranged

    def _predictions(self, row: Row, checked: Checked) -> list[Tensor] | None:
        """The scores of each seed; None, with the reason, where they are not here."""
        if row.predictions is None:
            checked.lacks("predictions, so that its quality cannot be computed again")
            return None
        path = checked.file.parent / row.predictions["file"]
        if not path.exists():
            if not checked.compared:
                raise DataUnavailable(f"its predictions are missing: {path}")
            checked.notes.append("its predictions are not here: its quality is not computed again")
            return None
        return read_predictions(path, row.predictions["sha256"], self._data(row).scores_of(row))

    def _single(self, row: Row, checked: Checked) -> Single | None:
        """The single modality that the gain is over, if it lies beside the row."""
        named = row.search.get("single")
        if row.gain is None or named is None:
            return None
        file = checked.file.parent / f"{named['id']}.json"
        other = read_row(file) if file.exists() else None
        kept = other.predictions if other else None
        if other is None or kept is None or kept["sha256"] != named["sha256"]:
            checked.notes.append(
                f"the single modality it was compared with ({named['id']}) is not here as it was: "
                f"its gain is not computed again"
            )
            return None
        wanted = self._data(row).scores_of(other)
        return other, read_predictions(file.parent / kept["file"], kept["sha256"], wanted)

    def _data(self, row: Row) -> Data:
        task = spec_from_dict(row.spec).task
        key = canonical_json(as_document(task))
        if self._last is None or self._last.key != key:
            _, dataset = resolve_dataset(task, self.plugins)
            splits: dict[str, str] = {part: split_digest(dataset.load(part)) for part in PARTS}
            outputs = dataset.task.n_outputs or None
            self._last = Data(key, splits, dataset.load("test"), outputs)
        return self._last
