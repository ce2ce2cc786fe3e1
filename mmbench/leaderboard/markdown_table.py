"""A table in Markdown, and text that is harmless in one."""

from collections.abc import Sequence

from mmbench.leaderboard.cells import NONE


def table(header: Sequence[tuple[str, str]], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; each column's alignment is ``l`` or ``r``."""
    rules = ["---:" if align == "r" else ":---" for _, align in header]
    content = [[name for name, _ in header], rules, *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in content)


def telling(
    header: Sequence[tuple[str, str]], lines: Sequence[Sequence[str]]
) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Without the columns that say nothing of any line: not every task has a gain, or a concat."""
    kept = [i for i in range(len(header)) if any(line[i] != NONE for line in lines)]
    return [header[i] for i in kept], [[line[i] for i in kept] for line in lines]


def escape(text: str) -> str:
    """Text of plugins and machines, harmless in a Markdown table."""
    for sign in ("\\", "|", "*", "<", "`", "]("):
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
