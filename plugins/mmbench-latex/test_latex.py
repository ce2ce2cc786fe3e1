"""The contract kit, what the table says, and the entry point."""

import json
from importlib.metadata import entry_points

import mmbench_latex
import pytest
import typer
from typer.testing import CliRunner

from mmbench.api import MMBenchError
from mmbench.testing import command_contract

TestContract = command_contract(mmbench_latex)


def row(fusion: str, mean: float, **more: object) -> dict[str, object]:
    score = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
    return {
        "fusion": fusion, "encoders": {"a": "mlp", "b": "mlp"}, "head": "mlp", "metric": "f1",
        "quality": {"f1": score}, "higher_is_better": True, "latency_ms_p50": 0.123,
        "parameters": 12345, **more,
    }  # fmt: skip


@pytest.fixture
def board(tmp_path):
    for i, one in enumerate([row("a_b", 0.5), row("best", 0.9, latency_ms_p50=None)]):
        (tmp_path / f"{i}.json").write_text(json.dumps(one))
    return tmp_path


def call(*arguments):
    app = typer.Typer()
    mmbench_latex.register_commands(app)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_table_has_the_best_row_first_and_escapes_names(board) -> None:
    assert call(board).output.splitlines() == [
        r"\begin{tabular}{lllrrr}",
        r"\toprule",
        r"Fusion & Encoders & Head & F1 & ms & Parameters \\",
        r"\midrule",
        r"best & mlp & mlp & 0.900 [0.890, 0.910] &  & 12,345 \\",
        r"a\_b & mlp & mlp & 0.500 [0.490, 0.510] & 0.12 & 12,345 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_it_writes_a_file_or_json(board, tmp_path) -> None:
    out = tmp_path / "table.tex"
    assert "2 rows in" in call(board, "--out", out).output
    assert out.read_text().startswith(r"\begin{tabular}")
    assert json.loads(call(board, "--json").output)[1][0] == "a_b"


@pytest.mark.parametrize(("content", "message"), [(None, "no row in"), ("[]", "is no row of a")])
def test_what_is_no_board_is_named(tmp_path, content, message) -> None:
    if content:
        (tmp_path / "x.json").write_text(content)
    answer = call(tmp_path)
    assert isinstance(answer.exception, MMBenchError) and message in str(answer.exception)


def test_it_is_found_by_its_entry_point() -> None:
    (entry,) = entry_points(group="mmbench", name="latex")
    assert entry.load() is mmbench_latex
