"""The first page: every task and its answer, and the comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmbench.leaderboard.commands import needs, search_command
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.answer import Answer, answer
from mmbench.leaderboard.site.page import Page
from mmbench.leaderboard.site.task_page import by_version, task_path
from mmbench.leaderboard.site.verdict import HELPS, HURTS, NOTHING, UNKNOWN, UNSURE
from mmbench.leaderboard.site.whisker import Scale, Whisker, scale


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in a line."""

    task: str
    page: str
    answer: Answer
    gain: Whisker | None
    rows: int
    machines: int


def index_page(tasks: Mapping[str, Sequence[Row]], comparisons: Sequence[Page]) -> Page:
    """``tasks`` are the rows by task; ``comparisons`` are pages that the list leads to."""
    lines = _lines(tasks)
    content = {
        "claim": _claim([line.answer for line in lines]),
        "lines": lines,
        "comparisons": comparisons,
        "try_it": _try_it(lines),
        "rows": sum(len(rows) for rows in tasks.values()),
    }
    return Page("index.html", "Does fusion help?", "index.html", content, menu="Tasks")


def _try_it(lines: Sequence[TaskLine]) -> str:
    """A search on the first task for which a reader needs nothing else; else on the first."""
    best = [line.answer.best for line in lines if line.answer.best]
    ready = [row for row in best if not needs(row)]
    return search_command((ready or best)[0]) if best else "mmbench search --task vqa"


def _lines(tasks: Mapping[str, Sequence[Row]]) -> list[TaskLine]:
    answers = {task: answer(rows, by_version(rows)[0]) for task, rows in tasks.items()}
    scales = _scales(list(answers.values()))
    lines = []
    for task, found in answers.items():
        best = found.best
        gain = best.gain if best else None
        figures = (gain["low"], gain["mean"], gain["high"]) if gain else None
        lines.append(
            TaskLine(
                task=task,
                page=task_path(task),
                answer=found,
                gain=scales[best.metric].whisker(figures) if best and figures else None,
                rows=len(tasks[task]),
                machines=len({row.hardware for row in tasks[task]}),
            )
        )
    return sorted(lines, key=_order)


def _order(line: TaskLine) -> tuple[int, float, str]:
    """Where fusion helps most first; unknown last."""
    best = line.answer.best
    gain = best.gain["mean"] if best and best.gain else 0.0
    kinds = (HELPS, UNSURE, HURTS, UNKNOWN, NOTHING)
    return kinds.index(line.answer.verdict), -gain, line.task


def _scales(answers: Sequence[Answer]) -> dict[str, Scale]:
    """One for each metric: gains in different metrics share no axis."""
    gains: dict[str, list[tuple[float, float, float]]] = {}
    for found in answers:
        if found.best and (gain := found.best.gain):
            figures = (gain["low"], gain["mean"], gain["high"])
            gains.setdefault(found.best.metric, []).append(figures)
    return {metric: scale(figures, zero=True) for metric, figures in gains.items()}


def _claim(answers: Sequence[Answer]) -> str:
    """On how many tasks fusion helps, is not shown to help, and hurts."""
    known = [found.verdict for found in answers if found.verdict not in (UNKNOWN, NOTHING)]
    if not known:
        return "No task has a fusion that was compared with a single modality yet."
    helps, unsure, hurts = (known.count(verdict) for verdict in (HELPS, UNSURE, HURTS))
    parts = [f"Fusion helps on {helps} of {len(known)} task{'s' * (len(known) > 1)}"]
    parts += [f"is not shown to help on {unsure}"] if unsure else []
    parts += [f"hurts on {hurts}"] if hurts else []
    return f"{', '.join(parts[:-1])} and {parts[-1]}." if len(parts) > 1 else f"{parts[0]}."
