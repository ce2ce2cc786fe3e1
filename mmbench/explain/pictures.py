"""An explanation as one picture: bars for modalities, then a panel for each of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmbench.explain.explanation import Explanation
from mmbench.explain.parts import Part, smoothed
from mmbench.tracking.pictures import COLOURS, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOR, AGAINST = COLOURS[0], COLOURS[1]
MOST_BARS = 24
PANEL = 3.9  # inches


def picture(found: Explanation, path: Path) -> Path:
    """Write it as PNG or SVG, by the suffix of ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images = [m for m, e in found.modalities.items() if e.map is not None]
    panels = 1 + len(found.modalities) + len(images)
    figure = Figure(figsize=(PANEL * panels, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(found), x=0.01, ha="left", fontsize=12, color=INK)
    first, *rest = figure.subplots(1, panels, squeeze=False)[0]
    _modality_bars(first, found)
    places = iter(rest)
    for modality, explained in found.modalities.items():
        title = f"{modality}: {found.measure(explained)}".replace(", by", "\nby")
        if explained.map is not None:
            raw = found.subject.raw.columns[modality].values
            shown = as_picture(raw[0])  # type: ignore[index, arg-type]
            _image(next(places), modality, shown)
            _heat(next(places), title, shown, explained.map)
        elif len(explained.parts) <= MOST_BARS:
            _bars(next(places), explained.parts, title)
        else:
            _steps(next(places), explained.parts, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _title(found: Explanation) -> str:
    sure = "" if found.probability is None else f" ({found.probability:.1%})"
    task = found.subject.resolved.spec.task.name
    return (
        f"{task}, test row {found.subject.row}: predicted {found.predicted}{sure}, "
        f"true {found.truth}"
    )


def _modality_bars(axes: Axes, found: Explanation) -> None:
    parts = [Part("no modality", found.without)]
    parts += [Part(m, value) for m, value in found.shapley.items()]
    parts.append(Part("all", found.answer))
    _bars(axes, parts, f"{found.quantity}\nby modality (Shapley)")
    axes.patches[0].set_color("#bbbbbb")
    axes.patches[-1].set_color("#bbbbbb")


def _bars(axes: Axes, parts: list[Part], title: str) -> None:
    """In the order of the parts, from the top; a word may occur twice."""
    from matplotlib.ticker import MaxNLocator

    values = [p.value for p in parts]
    colours = [FOR if v >= 0 else AGAINST for v in values]
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.barh(range(len(parts)), values, color=colours, height=0.7)
    axes.set_yticks(range(len(parts)), [p.label for p in parts])
    axes.invert_yaxis()
    axes.axvline(0.0, color="#888888", linewidth=0.8)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    _quiet(axes, title)


def _steps(axes: Axes, parts: list[Part], title: str) -> None:
    """Along the time of a series, or of many fields; labels are numbered."""
    values = [p.value for p in parts]
    axes.bar(range(len(values)), values, color=[FOR if v >= 0 else AGAINST for v in values])
    axes.set_xlabel(parts[0].label.split()[0], color=GREY)
    axes.axhline(0.0, color="#888888", linewidth=0.8)
    _quiet(axes, title)


def _image(axes: Axes, title: str, shown: Tensor) -> None:
    axes.imshow(shown.numpy(), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    _quiet(axes, title)


def _heat(axes: Axes, title: str, shown: Tensor, pixels: Tensor) -> None:
    """What regions add, over a grey copy of the image."""
    from matplotlib.colors import LinearSegmentedColormap

    heat = smoothed(pixels)
    limit = float(heat.abs().max()) or 1.0
    height, width = shown.shape[:2]
    _image(axes, title, (0.45 + 0.55 * shown.mean(-1, keepdim=True)).expand(-1, -1, 3))
    drawn = axes.imshow(
        heat.numpy(),
        cmap=LinearSegmentedColormap.from_list("against-for", [AGAINST, "white", FOR]),
        vmin=-limit,
        vmax=limit,
        alpha=(heat.abs() / limit).numpy(),
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
    )
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.7)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=GREY, length=0, labelsize=8)


def as_picture(raw: Tensor) -> Tensor:
    """(height, width, 3) from 0 to 1, of an image (1 or more channels, height, width)."""
    values = raw.detach().cpu()
    if values.dtype == torch.uint8:
        values = values / 255
    else:
        low, high = values.min(), values.max()
        values = (values.float() - low) / (high - low).clamp(min=1e-12)
    channels = values if len(values) == 3 else values[:1].expand(3, -1, -1)
    return channels.movedim(0, -1)


def _quiet(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#bbbbbb")
