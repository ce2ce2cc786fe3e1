"""``mmbench diff``: whether one row is better than another, or it is noise."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli.named_row import find_row
from mmbench.cli.options import BOARDS, AsJson, Boards, Moved, task_settings
from mmbench.cli.output import print_json

if TYPE_CHECKING:
    from mmbench.leaderboard.between import Between


def diff(
    row: Annotated[str, typer.Argument(help="A row: its JSON file, or its id on a board.")],
    other: Annotated[str, typer.Argument(help="Another row of the same task.")],
    moved: Moved = None,
    leaderboards: Boards = BOARDS,
    as_json: AsJson = False,
) -> None:
    """Test whether a row is better than another on the same test rows, from their predictions."""
    from dataclasses import asdict

    from mmbench.leaderboard.between import between
    from mmbench.plugins import load_plugins

    files = find_row(row, leaderboards), find_row(other, leaderboards)
    found = between(*files, load_plugins(), task_settings(moved))
    if as_json:
        document: dict[str, Any] = asdict(found)
        print_json(document)
        return
    for line in _lines(found):
        typer.echo(line)


def _lines(found: "Between") -> list[str]:
    from mmbench.leaderboard.cells import p_is

    gain, p = found.difference.gain, found.difference.p
    what = f"{found.one} and {found.other} on {found.task}, {found.metric}, {found.rows} test rows"
    if p >= 0.05:
        says = "not shown to differ: what is between them may be noise"
    else:
        says = f"{found.one if gain.mean > 0 else found.other} is better: more than noise"
    lines = [
        what,
        f"  difference    {gain.mean:+.4f}, 95 % interval [{gain.low:+.4f}, {gain.high:+.4f}]",
        f"  paired test   {p_is(p)} (over the same samples and {found.pairing})",
        f"  in words      {says}",
    ]
    for seeds, test in found.mcnemar.items():
        lines.append(
            f"  McNemar       {p_is(test.p)}, seeds {seeds}: {test.only_one} rows only the first "
            f"gets right, {test.only_other} only the second"
        )
    if found.mcnemar and found.shared_sources:
        lines.append(
            "                rows share sources, which McNemar's test takes for independent"
        )
    return lines
