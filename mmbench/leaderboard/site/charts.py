"""Charts as data for Plotly, in plain dicts; `assets/site.js` draws them.

Colours are names of the stylesheet (``var(--c1)``), so that a chart follows the page from light to
dark. Series differ by symbol, dash or pattern too, never by colour alone. Text of strangers passes
through `label`: Plotly reads tags in text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

Figure = dict[str, Any]
"""``{"data": […], "layout": {…}}``, as Plotly takes it."""

COLOURS = tuple(f"var(--c{i})" for i in range(1, 7))
"""Distinguishable with any colour vision (Okabe and Ito, 2008), lighter in the dark."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PATTERNS = ("", "/", ".", "x", "\\", "-")
SERIES = len(COLOURS)
"""The most lines that one chart tells apart."""


@dataclass(frozen=True, slots=True)
class View:
    """One figure of a chart and its name in the chart's selector."""

    name: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Chart:
    """One or more figures that share a place on the page."""

    id: str
    title: str
    caption: str
    """How to read it, in a sentence."""
    views: Sequence[View]
    choose: str = ""
    """What the selector asks for, where there are several views."""


def label(text: str, most: int = 40) -> str:
    """Text that Plotly shows as it is, shortened."""
    return escape(text if len(text) <= most else f"{text[: most - 1]}…", quote=False)


def figure(
    data: Sequence[Mapping[str, Any]],
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    **layout: Any,
) -> Figure:
    """Traces on two quiet axes; ``x`` and ``y`` add to these."""
    return {
        "data": list(data),
        "layout": {
            "xaxis": {**_axis(), "showgrid": False, **x},
            "yaxis": {**_axis(), **y},
            "font": {"family": "var(--font)", "size": 13, "color": "var(--soft)"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "modebar": {
                "bgcolor": "rgba(0,0,0,0)",
                "color": "var(--soft)",
                "activecolor": "var(--ink)",
            },
            "hoverlabel": {
                "align": "left",
                "bgcolor": "var(--raised)",
                "bordercolor": "var(--line)",
                "font": {"family": "var(--font)", "size": 13, "color": "var(--ink)"},
            },
            **layout,
        },
    }


def _axis() -> dict[str, Any]:
    return {
        "automargin": True,
        "gridcolor": "var(--grid)",
        "linecolor": "var(--line)",
        "zerolinecolor": "var(--line)",
        "zeroline": False,
        "ticks": "",
    }


def title(text: str, **more: Any) -> dict[str, Any]:
    """An axis by its title."""
    return {"title": {"text": label(text, 60), "standoff": 10, "font": {"size": 13}}, **more}


def curve(i: int, name: str, x: Sequence[float], y: Sequence[float], **more: Any) -> dict[str, Any]:
    """The i-th line of a chart, in its own colour, dash and symbol."""
    colour = COLOURS[i % SERIES]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(name),
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": 2, "dash": DASHES[i % SERIES]},
        "marker": {"color": colour, "size": 7, "symbol": SYMBOLS[i % SERIES]},
        "hovertemplate": "%{fullData.name}<br>%{y:.4f} at %{x:.3~g}<extra></extra>",
        **more,
    }


def bars(i: int, name: str, labels: Sequence[str], values: Sequence[float]) -> dict[str, Any]:
    """The i-th part of horizontal bars, in its own colour and pattern."""
    pattern = {"shape": PATTERNS[i % SERIES], "size": 6, "solidity": 0.3, "fillmode": "overlay"}
    pattern |= {"fgcolor": "var(--raised)", "fgopacity": 0.75}
    return {
        "type": "bar",
        "orientation": "h",
        "name": label(name),
        "y": list(labels),
        "x": list(values),
        "marker": {"color": COLOURS[i % SERIES], "pattern": pattern},
        "hovertemplate": "%{fullData.name}: %{x:+.4f}<extra>%{y}</extra>",
    }
