"""What a search shows while it runs: a live panel on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mmbench.cli.output import terminal

if TYPE_CHECKING:
    from mmbench.campaign.job import Campaign
    from mmbench.comparison.job import Comparison
    from mmbench.search.study import Attempted, Snapshot
    from mmbench.search.worker import Budget

STATES = ("finished", "pruned", "violated", "failed", "interrupted")
COLOURS = {"finished": "green", "pruned": "cyan", "violated": "yellow", "failed": "red"}


@contextmanager
def display(*, quiet: bool) -> Iterator["Display"]:
    """A display for the length of a job; on standard error when standard output is for JSON."""
    console = terminal(stderr=quiet)
    if quiet or not console.is_terminal:
        yield Display(console, None)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield Display(console, live)


class Display:
    """Draws what a campaign reports."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self.console, self.live = console, live
        self.started = time.monotonic()
        self.trials_budget: int | None = None
        self.said: set[str] = set()

    def introduce(self, campaign: "Campaign") -> None:
        """What is searched, what was left out and why, and with which means."""
        request, crew = campaign.request, campaign.crew
        chosen = request.candidates
        self._print(
            (request.task.name, "bold"),
            f" on {request.device}: {crew.workers} workers × {crew.threads} threads; "
            f"study {campaign.name}",
        )
        for modality, names in chosen.encoders.items():
            self._print(f"  {modality + ' encoders':18} {', '.join(names)}")
        for kind in ("fusions", "heads", "objectives"):
            self._print(f"  {kind:18} {', '.join(getattr(chosen, kind))}")
        self.leave_out(chosen.dropped)

    def introduce_comparison(self, comparison: "Comparison", dropped: Mapping[str, str]) -> None:
        """Who takes part, what is equal for all, and who was left out."""
        request, crew = comparison.request, comparison.crew
        self._print(
            (request.task.name, "bold"),
            f" on {request.device}: {crew.workers} workers × {crew.threads} threads; "
            f"comparison {comparison.name}",
        )
        encoders = ", ".join(f"{m}: {encoder}" for m, encoder in request.encoders.items())
        labels = ", ".join(c.label for c in request.contestants)
        for title, text in (
            (f"{len(request.contestants)} take part", labels),
            ("equal for all", f"{encoders}; {request.budget} trials; {request.seeds} seeds"),
        ):
            self._print(f"  {title:18} {text}")
        self.leave_out(dropped)

    def leave_out(self, dropped: Mapping[str, str]) -> None:
        """Each with the reason, those with the same one together."""
        together: dict[tuple[str, str], list[str]] = {}
        for name, reason in dropped.items():
            before, _, after = reason.partition(f"{name} ")
            together.setdefault((before, after), []).append(name)
        for (before, after), names in together.items():
            several = f"{before}{', '.join(names)}: each {after}"
            told = several if len(names) > 1 and after else dropped[names[0]]
            self._print((f"  left out: {told}", "dim"))

    def searching(self, now: "Snapshot", budget: "Budget") -> None:
        if self.live is not None:
            self.live.update(_panel(now, budget))
            return
        for state in STATES:
            self._say_once(f"search: {now.counts[state]} {state}", when=now.counts[state] > 0)
        if now.best is not None:
            self._say_once(f"search: best so far {_scored(now.best)}")

    def tuning(self, done: int, failed: int, total: int) -> None:
        self._step(f"equal tuning on validation: {done} of {total}", failed, done, total)

    def evaluating(self, done: int, failed: int, total: int) -> None:
        self._step(f"final evaluation on fresh seeds: {done} of {total}", failed, done, total)

    def measuring(self, done: int, total: int, label: str) -> None:
        self._step(f"measuring cost: {done} of {total}  {label}", 0, done, total)

    def note(self, text: str) -> None:
        self._print((text, "yellow"))

    def _step(self, text: str, failed: int, done: int, total: int) -> None:
        text += f", {failed} failed" if failed else ""
        if self.live is not None:
            self.live.update(Group(Text(text), _bar(done, total)))
        else:
            self._say_once(text)

    def _say_once(self, text: str, *, when: bool = True) -> None:
        if when and text not in self.said:
            self.said.add(text)
            self._print(text)

    def _print(self, *parts: str | tuple[str, str]) -> None:
        """One line, however long; a part may have a style."""
        self.console.print(Text.assemble(*parts), soft_wrap=True)


def _panel(now: "Snapshot", budget: "Budget") -> Group:
    """Counts, the bar, the best so far, and what runs at the moment."""
    counts = Text.assemble(
        *(
            (f"{now.counts[state]} {state}   ", COLOURS.get(state, "dim"))
            for state in STATES
            if now.counts[state] or state in ("finished", "pruned", "failed")
        ),
        (f"{len(now.running)} running", "bold"),
    )
    left = "" if budget.deadline is None else f"   {_clock(budget.deadline - time.time())} left"
    of = "" if budget.trials is None else f" of {budget.trials}"
    bar = _bar(now.done, budget.trials or now.done)
    best = Text("best so far  " + (_scored(now.best) if now.best else "–"), style="bold")
    running = Table.grid(padding=(0, 2))
    for trial in now.running:
        epoch = "starting" if trial.epoch is None else f"epoch {trial.epoch + 1}"
        score = "" if trial.score is None else f"{trial.score:.4f}"
        running.add_row(f"#{trial.number}", trial.label, epoch, score, style="dim")
    return Group(Text(f"trials {now.done}{of}{left}"), bar, counts, best, running)


def _bar(done: int, total: int) -> Table:
    """In a table of its own, since a bare bar does not end its line."""
    line = Table.grid()
    line.add_row(ProgressBar(total=max(total, 1), completed=done, width=40))
    return line


def _scored(best: "Attempted") -> str:
    spec = best.spec
    if spec is None:
        return f"#{best.number} {best.score:.4f}"
    parts = f"{spec.encoders_label or 'nothing'} → {spec.fusion_label} → {spec.head.name}"
    return f"{best.score:.4f}  #{best.number} {parts}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{rest:02d}"
