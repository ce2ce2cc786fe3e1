"""The model card, in Markdown."""

from collections.abc import Sequence

from mmbench.exporting.graph import GRAPH, Parity
from mmbench.exporting.onnx_graph import ONNX
from mmbench.exporting.smaller import Figures
from mmbench.leaderboard.row import Row
from mmbench.saved import SavedModel

SHOWN = 12
"""Outputs that are named."""


def card(
    saved: SavedModel,
    row: Row | None,
    graph: Parity,
    onnx: Parity | None,
    figures: Sequence[Figures],
    reason: str,
) -> str:
    """What the model is for, how good it is, what it costs, and how it is used."""
    sections = [_title(saved)]
    if row is not None:
        sections.append(_row(row))
    if figures:
        sections.append(smaller(figures, saved.task.metric, row, reason))
    graphs = {GRAPH: graph} | ({} if onnx is None else {ONNX: onnx})
    made = [parity for parity in graphs.values() if parity.difference is not None]
    agreeing = [said(file, parity) for file, parity in graphs.items()]
    sections.append([*agreeing, *([_reads(made[0]), *_answers(saved)] if made else [])])
    sections.append(
        ["```python", "from mmbench import load_model", "",
         'model = load_model(".")', "model.inputs", "model.predict({…})", "```"]
    )  # fmt: skip
    sections.append(["What it was trained on, and how, is in `spec.json`."])
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def said(file: str, parity: Parity) -> str:
    """Of a graph: how near it is to the model, or why there is none."""
    if parity.difference is None:
        return f"There is no `{file}`: {parity.reason}."
    reader = "ONNX Runtime" if file == ONNX else "`torch.export.load`"
    return f"`{file}` is the same model for {reader}, within {parity.difference:.1g}."


def _reads(graph: Parity) -> str:
    """What a graph takes, where ``predict`` takes raw values and does without some."""
    taken = ", ".join(f"`{modality}` {kind}" for modality, kind in graph.reads.items())
    return f"A graph reads what `requests.safetensors` has rows of, none missing: {taken}."


def _answers(saved: SavedModel) -> list[str]:
    """What a graph gives, where ``predict`` gives more: it knows nothing of the target's units."""
    if saved.task.target == "regression" and saved.preprocessing is not None:
        mean, std = saved.preprocessing["scale"]
        return [f"A graph gives the target standardised: times {std:.7g}, plus {mean:.7g}."]
    makes = {"classification": "softmax", "multilabel": "sigmoid"}.get(saved.task.target)
    order = "A graph gives a score for each of `outputs` in `task.json`, in their order"
    return [f"{order}; {makes} makes probabilities of them."] if makes else []


def _title(saved: SavedModel) -> list[str]:
    spec, task = saved.spec, saved.task
    names = ", ".join(task.outputs[:SHOWN]) + (" …" if len(task.outputs) > SHOWN else "")
    outputs = f" ({names})" if names else ""
    inputs = ", ".join(f"{m} ({kind})" for m, kind in task.modalities.items())
    return [
        f"# {spec.task.name}: {spec.encoders_label or 'nothing'} → {spec.fusion_label} → "
        f"{spec.head.name}",
        "",
        f"Predicts {task.target}{outputs} from {inputs}.",
    ]


def _row(row: Row) -> list[str]:
    quality = row.quality[row.metric]
    interval = ""
    if quality["low"] is not None:
        interval = f" [{quality['low']:.4f}, {quality['high']:.4f}]"
    return [
        "| | |",
        "|---|---|",
        f"| test {row.metric}, mean of {len(row.seeds)} seeds | {quality['mean']:.4f}{interval} |",
        f"| latency of one request, p50 | {row.latency_ms_p50:.2f} ms |",
        f"| peak memory | {row.peak_memory_mib:.1f} MiB |",
        f"| parameters | {row.parameters:,} |",
        f"| measured on | {row.hardware} |",
        f"| trained on | {row.task} at version {row.task_version} |",
        f"| row | {row.id}, seed {row.seeds[0]} of {row.seeds} |",
    ]


def smaller(figures: Sequence[Figures], metric: str, row: Row | None, reason: str) -> list[str]:
    """A table of a model and of what was made of it, the latter in the last line."""
    lines = [
        f"| | {metric}, test | {metric}, validation | one request, p50 | weights on disk |",
        "|---|---|---|---|---|",
    ]
    if row is not None:
        stated = row.quality[row.metric]["per_seed"][0]
        lines.append(
            f"| as the row states, seed {row.seeds[0]} | {stated:.4f} | – | "
            f"{row.latency_ms_p50:.3f} ms | – |"
        )
    lines += [
        f"| {one.variant} | {_score(one.test)} | {_score(one.validation)} | "
        f"{one.latency_ms_p50:.3f} ms | {one.weights_bytes / 1024:,.1f} KiB |"
        for one in figures
    ]
    note = "Measured one after the other on this machine: one CPU thread, a process for each."
    return [*lines, "", note, *([f"Quality is not known: {reason}"] if reason else [])]


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
