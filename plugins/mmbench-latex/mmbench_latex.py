"""``mmbench latex``: the rows of a board as a LaTeX table (package booktabs) for a paper."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mmbench.api import MMBenchError, hookimpl

mmbench_api = ">=1"

SPECIAL = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$"})


def latex(
    board: Annotated[Path, typer.Argument(help="A folder of rows, as in leaderboards/synergy.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; otherwise it is printed.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Write the rows of a board as a LaTeX table: score with interval, latency, parameters."""
    rows = read_rows(board)
    text = json.dumps([cells(row) for row in rows], indent=2) if as_json else table(rows)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n")
        typer.echo(f"{len(rows)} rows in {out}")


def read_rows(board: Path) -> list[dict[str, Any]]:
    """The rows in a folder, the best first."""
    rows = []
    for path in sorted(board.glob("*.json")):
        try:
            row = json.loads(path.read_text())
            row["quality"][row["metric"]]["mean"]
        except (KeyError, TypeError, ValueError) as error:
            raise MMBenchError(f"{path} is no row of a leaderboard: {error!r}.") from error
        rows.append(row)
    if not rows:
        raise MMBenchError(f"There is no row in {board}. Give a folder with rows (*.json).")
    sign = -1 if rows[0]["higher_is_better"] else 1
    return sorted(rows, key=lambda row: sign * row["quality"][row["metric"]]["mean"])


def cells(row: dict[str, Any]) -> list[str]:
    """One row as text, without LaTeX."""
    score = row["quality"][row["metric"]]
    shown = f"{score['mean']:.3f}"
    if score.get("low") is not None:
        shown += f" [{score['low']:.3f}, {score['high']:.3f}]"
    latency = row.get("latency_ms_p50")
    milliseconds = "" if latency is None else f"{latency:.2f}"
    encoders = ", ".join(dict.fromkeys(row["encoders"].values()))
    return [row["fusion"], encoders, row["head"], shown, milliseconds, f"{row['parameters']:,}"]


def table(rows: list[dict[str, Any]]) -> str:
    """The whole ``tabular``, ready to be included."""
    metric = rows[0]["metric"]
    titles = ["Fusion", "Encoders", "Head", metric.capitalize(), "ms", "Parameters"]
    lines = [[title.translate(SPECIAL) for title in titles]]
    lines += [[cell.translate(SPECIAL) for cell in cells(row)] for row in rows]
    head, *body = (" & ".join(line) + r" \\" for line in lines)
    parts = [r"\begin{tabular}{lllrrr}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*parts, r"\end{tabular}"])


@hookimpl
def register_commands(app: typer.Typer) -> None:
    app.command("latex")(latex)
