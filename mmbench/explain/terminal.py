"""An explanation as text: bars for modalities, words in colour, the strongest parts in numbers."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmbench.explain.explanation import Explanation
from mmbench.explain.parts import Explained, Part
from mmbench.explain.words import text_of

BAR, STRONGEST = 24, 6
FOR, AGAINST = (0, 114, 178), (213, 94, 0)
"""Blue raises the answer, orange lowers it (Okabe & Ito, 2008)."""


def told(found: Explanation) -> RenderableType:
    """The whole of it, to be printed by rich."""
    return Group(_headline(found), "", _modalities(found), "", *_parts(found))


def _headline(found: Explanation) -> Text:
    subject = found.subject
    right = found.predicted == found.truth
    sure = "" if found.probability is None else f" ({found.probability:.1%})"
    return Text.assemble(
        f"{subject.resolved.spec.task.name}, test row {subject.row}: predicted ",
        (found.predicted, "bold"),
        f"{sure}, true ",
        (found.truth, "bold" if right else "bold red"),
    )


def _modalities(found: Explanation) -> Table:
    """Shapley values from nothing known to the whole sample."""
    largest = max((abs(v) for v in found.shapley.values()), default=0.0)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row(found.quantity, signed(found.answer))
    table.add_row("  no modality known", signed(found.without))
    for modality, value in found.shapley.items():
        table.add_row(f"  {modality}", signed(value), _bar(value, largest))
    return table


def _bar(value: float, largest: float) -> Text:
    length = round(BAR * abs(value) / largest) if largest else 0
    return Text("█" * length, style=_colour(value, 1.0))


def _parts(found: Explanation) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for modality, explained in found.modalities.items():
        lines.append(Text.assemble((modality, "bold"), f"  {found.measure(explained)}"))
        if explained.kind == "text":
            lines.append(coloured(text_of(found.subject, modality), explained))
        strongest = (f"{p.label} {signed(p.value)}" for p in top(explained))
        lines.append(Text("  " + "   ".join(strongest)))
    return lines


def top(explained: Explained) -> list[Part]:
    """The strongest parts, whichever their sign, the strongest first."""
    return sorted(explained.parts, key=lambda p: -abs(p.value))[:STRONGEST]


def coloured(text: str, explained: Explained) -> Text:
    """The text itself, each word on a ground as dark as its value is large."""
    shown = Text(text)
    largest = max((abs(p.value) for p in explained.parts), default=0.0) or 1.0
    for part, start in zip(explained.parts, explained.place or (), strict=True):
        style = f"on {_colour(part.value, abs(part.value) / largest)}"
        if abs(part.value) / largest > 0.15:
            shown.stylize(f"{style} white", start, start + len(part.label))
    return Text("  ").append_text(shown)


def _colour(value: float, strength: float) -> str:
    """From grey to the full colour."""
    full = FOR if value >= 0 else AGAINST
    mixed = (round(90 + strength * (c - 90)) for c in full)
    return "rgb({},{},{})".format(*mixed)


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
