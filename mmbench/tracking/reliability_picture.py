"""The picture of a model's calibration, a reliability diagram."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.tracking.pictures import COLOURS, GREY, INK


def reliability_picture(bins: Mapping[str, Any], path: Path) -> None:
    """Accuracy against confidence by bin, the gaps to the diagonal, and how many rows lie where.

    The diagram of Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; ``bins`` are
    those of ``mmbench.evaluation.reliability``.
    """
    from matplotlib.figure import Figure

    edges, rows = bins["edges"], bins["rows"]
    width, total = edges[1] - edges[0], max(1, sum(rows))
    seen = [k for k, n in enumerate(rows) if n]
    places = [edges[k] + width / 2 for k in seen]
    accuracy = [bins["accuracy"][k] for k in seen]
    gaps = [bins["confidence"][k] - bins["accuracy"][k] for k in seen]
    figure = Figure(figsize=(4.6, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.bar(places, accuracy, width, color=COLOURS[0], edgecolor="white", label="accuracy")
    above.bar(
        places, gaps, width, accuracy, color=COLOURS[1], alpha=0.35, edgecolor=COLOURS[1],
        label="gap to confidence",
    )  # fmt: skip
    above.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    error = sum(rows[k] * abs(gap) for k, gap in zip(seen, gaps, strict=True)) / total
    above.set_title(f"Calibration error {error:.3f}", loc="left", fontsize=11, color=INK)
    above.set_ylabel("accuracy", color=GREY)
    above.set_ylim(0, 1)
    above.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")
    below.bar(places, [rows[k] / total for k in seen], width, color=GREY, edgecolor="white")
    below.set_xlabel("confidence: probability of the predicted class", color=GREY)
    below.set_ylabel("share of rows", color=GREY)
    below.set_xlim(0, 1)
    for axes in (above, below):
        axes.tick_params(colors=GREY, length=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    figure.savefig(path, dpi=150)
