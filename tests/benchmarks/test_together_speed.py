"""K small fusions at once against one by one, in one run: ``pytest tests/benchmarks -m slow -s``.

A product fusion of two frozen modalities, from 128 numbers each to 64, under a linear head; batches
of 128, one CPU thread. Epochs alone and at once take turns and the fastest of each counts: what the
neighbours of a busy machine take away comes and goes. Memory that they use up does not, and many
members at once need it most. With ``MMBENCH_SPEED=1`` the table goes to leaderboards/speed.md.
"""

import os
import time
from pathlib import Path

import pytest
import torch

from mmbench.evaluation.hardware import hardware, hardware_line
from mmbench.metrics.classification import Accuracy
from mmbench.model import build_encoders, build_model, build_objective
from mmbench.plugins import load_plugins
from mmbench.resolve import Resolved, resolve
from mmbench.search.finals import evaluate, results
from mmbench.search.jobs import work_on_jobs, write_jobs
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.together.fitting import Member, fit_together
from mmbench.training import Trainer
from mmbench.trial import Workbench
from mmbench.types import Column, Encoded, Split, Task

pytestmark = pytest.mark.slow

C, CPU, PLUGINS = Component, torch.device("cpu"), load_plugins()
ROWS, WIDTH, CLASSES, EPOCHS, ROUNDS = 2048, 128, 10, 8, 4
LEAST = {16: 2.0, 64: 2.0}
"""On a machine that is busy with other work; 2.5 and 4 are wanted of a free one."""
REPORT = Path(__file__).parents[2] / "leaderboards" / "speed.md"


def features(rows: int) -> Split:
    draws = torch.Generator().manual_seed(rows)
    a, b = (torch.randn(rows, WIDTH, generator=draws) for _ in "ab")
    target = (a[:, :CLASSES] * b[:, :CLASSES]).argmax(1)
    return Split({"a": Column(Encoded.vector(a)), "b": Column(Encoded.vector(b))}, target)


TRAIN, VAL = features(ROWS), features(512)


class Features:
    task = Task(
        dict.fromkeys("ab", "tabular"),
        "classification",
        tuple(map(str, range(CLASSES))),
        "accuracy",
    )
    version = "1"


def member(number: int, *, seeds: bool) -> Member:
    """Of K learning rates; with ``seeds``, of K seeds too, each with its own batches."""
    train = TrainSpec(max_epochs=EPOCHS, patience=EPOCHS, learning_rate=1e-3 * 1.02**number)
    spec = TrialSpec(
        C("features"), {m: C("vector") for m in "ab"}, C("product", {"width": 64}), C("linear"),
        train=train, seed=number if seeds else 0,
    )  # fmt: skip
    encoder = PLUGINS.encoders["vector"]
    resolved = Resolved(
        spec, Features(), dict.fromkeys("ab", encoder), PLUGINS.fusions["product"],  # type: ignore[arg-type]
        PLUGINS.heads["linear"], PLUGINS.objectives["plain"],
    )  # fmt: skip
    fitted = {"shape": [WIDTH], "mean": [0.0] * WIDTH, "std": [1.0] * WIDTH}
    model = build_model(resolved, build_encoders(resolved, dict.fromkeys("ab", fitted)))
    objective = build_objective(resolved, model)
    trainer = Trainer(train, objective, PLUGINS.metrics["accuracy"](), spec.seed, CPU)
    return Member(trainer, model, lambda *_: None, lambda *_: None)


def one_by_one(*, seeds: bool) -> float:
    """Seconds of the fastest epoch of one training alone."""
    m = member(0, seeds=seeds)
    fitted = m.trainer.fit(m.model, TRAIN, VAL, None, m.on_epoch)
    return min(epoch["seconds"] for epoch in fitted.curve)


def at_once(k: int, *, seeds: bool) -> float:
    """Seconds of the fastest epoch of K, for each of them."""
    members = [member(i, seeds=seeds) for i in range(k)]
    fit_together(members, TRAIN, VAL, None)
    return min(epoch["seconds"] for epoch in members[0].progress.curve)


def ratio(k: int, *, seeds: bool) -> float:
    """Of the fastest epochs of rounds that take turns: what neighbours take away does not count."""
    rounds = [(one_by_one(seeds=seeds), at_once(k, seeds=seeds)) for _ in range(ROUNDS)]
    alone, together = (min(times) for times in zip(*rounds, strict=True))
    return alone / together


def test_k_at_once_against_one_by_one() -> None:
    torch.set_num_threads(1)
    lines = ["| K | K learning rates | K seeds |", "| ---: | ---: | ---: |"]
    for k in (1, 4, 16, 64):
        rates = ratio(k, seeds=False)
        lines.append(f"| {k} | {rates:.2f} × | {ratio(k, seeds=True):.2f} × |")
        print(lines[-1], flush=True)
        assert rates >= LEAST.get(k, 0)
    report(
        "## K at once against one by one",
        "Time of an epoch of K trainings one by one, divided by that of the same as one batched "
        "model: product fusion of two cached modalities, 128 → 64, linear head, batches of 128",
        lines,
    )


def test_seeds_of_a_final_evaluation(tmp_path: Path) -> None:
    """On ``synergy``, whole: the same scores in less time."""
    torch.set_num_threads(1)
    bench, table = Workbench(CPU), ["| fusion | seeds | ratio | test accuracy differs by |"]
    table.append("| --- | ---: | ---: | ---: |")
    for fusion, n in ((f, n) for f in ("concat", "product", "gated") for n in (3, 5)):
        spec = TrialSpec(C("synergy"), {m: C("mlp") for m in "ab"}, C(fusion), C("mlp"))
        specs = [resolve(spec.with_seed(1000 + i), PLUGINS).spec for i in range(n)]
        bench.splits(resolve(spec, PLUGINS))
        target = bench.load(resolve(spec, PLUGINS), "test").target
        times, scores = {1: [], n: []}, {}
        for turn, together in enumerate((1, n, 1, n)):
            jobs = write_jobs(tmp_path / f"{fusion}-{n}-{turn}", specs)
            start = time.process_time()
            evaluation = evaluate(PLUGINS, bench, diagnose=False)
            work_on_jobs(jobs, evaluation, lambda: False, PLUGINS, together)
            times[together].append(time.process_time() - start)
            seeds = results(jobs)[specs[0].family]
            scores[together] = [Accuracy()(seed.test_scores, target) for seed in seeds]
        differs = max(abs(a - b) for a, b in zip(scores[1], scores[n], strict=True))
        table.append(f"| {fusion} | {n} | {min(times[1]) / min(times[n]):.2f} × | {differs:.4f} |")
        print(table[-1], flush=True)
        assert differs <= 0.002
    report(
        "## Seeds of a final evaluation together",
        "CPU time of the fresh seeds of one configuration on `synergy`, trained, scored on test "
        "and saved one by one, divided by that of all together",
        table,
    )


def report(heading: str, what: str, table: list[str]) -> None:
    """Put the section in its place, if that is wanted; the others stay."""
    if not os.environ.get("MMBENCH_SPEED"):
        return
    machine = f"{hardware_line(hardware(), CPU)}, torch {torch.__version__}"
    busy = f"One thread of {machine}; load {os.getloadavg()[0]:.1f}."
    section = "\n".join([heading, "", f"{what}. {busy}", "", *table, ""])
    before = REPORT.read_text() if REPORT.exists() else "# Speed\n"
    kept = [s for s in before.split("\n## ") if not f"## {s}".startswith(f"{heading}\n")]
    REPORT.write_text("\n## ".join(kept).rstrip() + "\n\n" + section)
