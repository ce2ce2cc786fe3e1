"""Rows, their order, and what a board says about them."""

import csv
import io
import json
import sqlite3
import sys
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from mmbench.cli.board import ui
from mmbench.errors import InvalidParameter, InvalidSpec, StorageError
from mmbench.leaderboard import cells
from mmbench.leaderboard.headline import headline
from mmbench.leaderboard.rank import rank
from mmbench.leaderboard.render import markdown, write_board
from mmbench.leaderboard.row import Gain, Row, public
from mmbench.leaderboard.row_files import read_rows, write_row
from mmbench.leaderboard.row_text import row_from_dict, row_from_text
from mmbench.leaderboard.terminal import terminal_table
from mmbench.shape import may_be_larger

CPU, GPU = "2-core Xeon, 8 GiB", "NVIDIA H200"


def make_row(number: int, score: float = 0.9, spread: float = 0.01, **changes: Any) -> Row:
    seeds = changes.pop("seeds", [101, 102, 103])
    if isinstance(on_validation := changes.get("validation"), float):
        changes["validation"] = {"mean": on_validation, "per_seed": [on_validation] * len(seeds)}
    quality = {"mean": score, "low": score - spread, "high": score + spread}
    row = Row(
        id=f"{number:012x}",
        task="vqa",
        task_version="1",
        encoders={"image": "cnn", "question": "bow"},
        fusion="product",
        head="mlp",
        objective="plain",
        spec={"task": {"name": "vqa", "params": {}}, "seed": 101},
        seeds=seeds,
        metric="accuracy",
        higher_is_better=True,
        quality={"accuracy": {**quality, "per_seed": [score] * len(seeds)}},
        slices={"question_type": {"yes/no": {"rows": 7345, "score": 0.987654}}},
        validation={"mean": 0.95, "per_seed": [0.95] * len(seeds)},
        latency_ms_p50=1.25,
        latency_ms_p90=1.5,
        latency_ms_p95=1.75,
        peak_memory_mib=43.21,
        parameters=123_456,
        fusion_parameters=1_234,
        flops=10**6,
        train_seconds=12.5,
        cost={"threads": 2},
        gain={"over": "only-question", "mean": 0.2, "low": 0.15, "high": 0.25},
        reference=False,
        optimum=None,
        search={"trials": 40},
        predictions={"file": f"{number:012x}.predictions.safetensors.xz", "sha256": "0" * 64},
        hardware=CPU,
        environment={"torch": "2.11"},
        created="2026-11-22T12:00:00+00:00",
    )
    return replace(row, **changes)


def gain(mean: float, low: float, high: float) -> Gain:
    return {"over": "only-question", "mean": mean, "low": low, "high": high}


def places(rows: list[Row], by: str = "accuracy") -> list[tuple[int, int | None]]:
    return [(int(s.row.id, 16), s.rank) for s in rank(rows, by)]


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    row = make_row(1)
    path = write_row(tmp_path, row)
    assert path == tmp_path / "vqa" / "000000000001.json"
    assert path.read_text() == json.dumps(row.to_dict(), indent=2, sort_keys=True) + "\n"
    assert read_rows(tmp_path) == ([row], [])
    assert read_rows(tmp_path / "vqa") == ([row], [])
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing temporary is left


def test_only_the_main_metric_needs_an_interval() -> None:
    without = {"mean": 0.5, "low": None, "high": None, "per_seed": [0.5] * 3}
    data = make_row(1).to_dict()
    assert row_from_dict({**data, "quality": {**data["quality"], "auroc": without}})
    with pytest.raises(InvalidSpec, match=r"quality\.accuracy: the main metric lacks its interval"):
        row_from_dict({**data, "quality": {"accuracy": without}})


def test_public_names_the_main_metric() -> None:
    quality = {"macro-f1": {"mean": 0.5, "low": 0.4, "high": 0.7, "per_seed": [0.5] * 3}}
    shown = public(make_row(1, metric="macro-f1", quality=quality))
    assert (shown["macro_f1"], shown["macro_f1_low"], shown["macro_f1_high"]) == (0.5, 0.4, 0.7)
    assert shown["id"] == "000000000001"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": 2}, "schema 2"),
        ({"id": "xyz"}, "id is twelve"),
        ({"task": "../etc"}, "task is a name"),
        ({"seeds": []}, "seeds are one or more"),
        ({"seeds": [1, 1, 2]}, "seeds are one or more"),
        ({"parameters": 1.5}, "parameters is a valid integer; got 1.5"),
        ({"reference": 1}, "reference is a valid boolean; got 1"),
        ({"latency_ms_p50": True}, "latency_ms_p50 is a valid number; got True"),
        ({"train_seconds": float("nan")}, "train_seconds is a finite number"),
        ({"cost": {"a": [float("inf")]}}, "holds Infinity"),
        ({"latency_ms_p50": -1.25}, "latency_ms_p50 is 0 or from 1e-09 to 1e+19; got -1.25"),
        ({"peak_memory_mib": -0.5}, "peak_memory_mib is 0 or from"),
        ({"flops": -1}, "flops is 0 or from"),
        ({"train_seconds": 1e300}, "train_seconds is 0 or from"),
        ({"latency_ms_p95": 1e-310}, "latency_ms_p95 is 0 or from"),
        ({"parameters": 10**400}, "parameters is an integer of at most 64 bits; got 1000"),
        ({"search": {"history": [{"number": 2**63}]}}, "search.history.0.number is an integer"),
        ({"optimum": -1.7e308}, "optimum lies between -1e+100 and 1e+100; got -1.7e+308"),
        ({"slices": {"a": {"b": {"rows": 1, "score": 1e101}}}}, "slices.a.b.score lies between"),
        ({"validation": {"mean": 0.9, "per_seed": [0.9]}}, "validation: per_seed has not one"),
        ({"metric": "auroc"}, "lacks the main metric 'auroc'"),
        ({"gain": {"over": "x", "mean": 0.1, "low": 0.0}}, "gain lacks the field high"),
        ({"created": "yesterday"}, "created is an ISO 8601"),
        ({"extra": 1}, "unknown field extra"),
        ({"fusion": "concat\x1b[2J"}, r"the control character \u001b"),
        ({"environment": {"\\\x1b]8;;": 1}}, "the control character"),
        ({"fusion": "con\bcat"}, "the control character"),
        ({"fusion": "con\x00cat"}, "the control character"),
        ({"fusion": "con\x9b2Jcat"}, "the control character"),
        ({"head": "\u202ekcoh"}, "the control character"),
        ({"task_version": "a\x7fb"}, "the control character"),
        ({"objective": "a\rb"}, "the control character"),
        ({"encoders": {"a": "mlp\u2066"}}, "the control character"),
        ({"quality": {"accuracy": {"mean": 1, "low": 2, "high": 3, "per_seed": [1, 1, 1]}}}, "≤"),
        ({"quality": {"accuracy": {"mean": 1, "low": 1, "high": 1, "per_seed": [1]}}}, "per_seed"),
    ],
)
def test_a_bad_row_names_its_field(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidSpec, match="the file") as error:
        row_from_dict({**make_row(1).to_dict(), **changes}, "the file")
    assert reason in str(error.value)


@pytest.mark.parametrize("control", ["\x9b", "\u202e", "\u2069"])
def test_a_control_character_is_found_as_it_is(control: str) -> None:
    text = json.dumps(make_row(1, head=f"a{control}b").to_dict(), ensure_ascii=False)
    with pytest.raises(InvalidSpec, match=r"control character .* could write anywhere"):
        row_from_text(text, "the file")


def test_what_looks_like_a_control_character_is_none() -> None:
    """Written backslashes, tabs, ends of lines, right-to-left marks of honest names."""
    assert row_from_dict(make_row(1, hardware="\\u001b, \\\\u001b\t\n\u200f").to_dict())


def test_a_column_whose_name_has_several_lines_can_be_a_modality() -> None:
    assert row_from_dict(make_row(1, fusion="only-age\r\nin years").to_dict())


def test_a_number_too_far_from_0_is_found_without_an_exponent_too() -> None:
    text = json.dumps(make_row(1, optimum=0.271828).to_dict())
    with pytest.raises(InvalidSpec, match="optimum lies between"):
        row_from_text(text.replace("0.271828", "1" + 300 * "0" + ".0"), "the file")


@pytest.mark.parametrize("before", [":", ": ", "[", ",", "[1, ", ":-", ":\n\t", ": -"])
def test_integers_beyond_64_bits_are_found_wherever_they_may_stand(before: str) -> None:
    assert may_be_larger(f'{{"a"{before}{2**63}')
    fraction = f"0.{2**70}"
    assert not may_be_larger(f'{{"a"{before}{fraction}'), "read once, not twice"


def test_bad_files_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    write_row(tmp_path, make_row(1))
    home = tmp_path / "vqa"
    text = (home / "000000000001.json").read_text()
    (home / "a.json").write_text("{")
    (home / "b.json").write_text(text.replace("12.5", "NaN"))
    (home / "c.json").write_text(text.replace('"head": "mlp",', ""))
    (home / "d.json").write_bytes(b"\xff\xfe")
    (home / "e.json").write_text(text)
    (home / "f.json").write_text("")
    (home / "g.json").write_text(f"{text}, {text}")
    (home / "h.json").write_text("[" * 100_000)
    (home / "i.json").write_text(text.replace("123456", "9" * 5000))
    rows, problems = read_rows(tmp_path)
    assert rows == [make_row(1)]
    reasons = ["not JSON", "got nan", "lacks the field head", "not text in UTF-8", "named by its"]
    reasons += ["holds nothing", "holds 2", "recursion limit", "number out of range"]
    for name, reason, problem in zip("abcdefghi", reasons, problems, strict=True):
        assert str(home / f"{name}.json") in problem
        assert reason in problem


def test_a_missing_folder_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    rows, problems = read_rows(tmp_path / "nowhere")
    assert rows == []
    assert "nowhere" in problems[0]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "There is no MLflow store"), (b"damaged" * 99, "is damaged")]
)
def test_the_ui_is_not_started_on_what_is_no_store(
    tmp_path: Path, content: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmbench.tracking.ui_command", lambda _: pytest.fail("it was started"))
    (tmp_path / "mlflow.db").write_bytes(content)
    with pytest.raises(StorageError, match=reason):
        ui(tmp_path)


@pytest.mark.parametrize("code", [0, 1])
def test_the_ui_ends_as_mlflow_ended(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may find its port taken."""
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        store.execute("CREATE TABLE runs (id)")
    child = [sys.executable, "-c", f"raise SystemExit({code})"]
    monkeypatch.setattr("mmbench.tracking.ui_command", lambda _: child)
    with pytest.raises(typer.Exit) if code else nullcontext() as end:
        ui(tmp_path)
    assert not code or end.value.exit_code == code


def test_what_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "vqa").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"000000000001.json cannot be written.*Make the folder"):
        write_row(tmp_path, make_row(1))


def test_a_bad_row_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="train_seconds"):
        write_row(tmp_path, make_row(1, train_seconds=float("inf")))
    assert list(tmp_path.iterdir()) == []


def test_a_task_of_one_modality_has_nothing_to_fuse() -> None:
    rows = [make_row(n, encoders={"speech": "mel-cnn"}, gain=None) for n in (1, 2, 3)]
    said = headline(rows)[0]
    assert said.startswith("vqa has one modality, speech: there is nothing to fuse. The best row")


def test_rank_by_score_whatever_the_hardware() -> None:
    rows = [make_row(1, 0.8), make_row(2, 0.9, hardware=GPU), make_row(3, 0.7)]
    assert places(rows) == [(2, 1), (1, 2), (3, 3)]


def test_less_is_better_for_an_error() -> None:
    rows = [make_row(n, s, higher_is_better=False) for n, s in ((1, 0.8), (2, 0.9))]
    assert places(rows) == [(1, 1), (2, 2)]


def test_equal_scores_share_a_place() -> None:
    assert places([make_row(1, 0.8), make_row(2), make_row(3)]) == [(2, 1), (3, 1), (1, 3)]


def test_a_single_seed_is_a_preview() -> None:
    rows = [make_row(1, 0.99, seeds=[7]), make_row(2, 0.8), make_row(3, 0.9)]
    assert places(rows) == [(3, 1), (2, 2), (1, None)]
    assert "1 (preview)" in markdown(rank(rows))


def test_ties_are_overlaps_with_the_best_only() -> None:
    rows = [make_row(1, 0.90), make_row(2, 0.885), make_row(3, 0.87), make_row(4, 0.89, seeds=[7])]
    tied = {int(s.row.id, 16): s.tied for s in rank(rows)}
    assert tied == {1: False, 2: True, 3: False, 4: False}  # 3 overlaps 2, but not the best
    for higher in (True, False):
        touching = [make_row(n, n / 4, 0.25, higher_is_better=higher) for n in (1, 3)]
        assert [s.tied for s in rank(touching)] == [False, True]


@pytest.mark.parametrize(
    ("by", "field"), [("latency", "latency_ms_p50"), ("memory", "peak_memory_mib")]
)
def test_costs_of_different_hardware_are_ranked_apart(by: str, field: str) -> None:
    rows = [
        make_row(1, **{field: 3.0}),
        make_row(2, **{field: 1.0}, hardware=GPU),
        make_row(3, **{field: 2.0}),
        make_row(4, **{field: 4.0}, hardware=GPU),
        make_row(5, **{field: None}),
    ]
    assert places(rows, by) == [(3, 1), (1, 2), (5, None), (2, 1), (4, 2)]
    assert [s.group for s in rank(rows, by)] == [CPU] * 3 + [GPU] * 2
    assert not any(s.tied for s in rank(rows, by))


def test_parameters_do_not_depend_on_the_hardware() -> None:
    rows = [make_row(1, parameters=20), make_row(2, parameters=10, hardware=GPU)]
    assert places(rows, "parameters") == [(2, 1), (1, 2)]


def test_tasks_and_versions_are_never_ranked_together() -> None:
    rows = [make_row(1, 0.5), make_row(2, 0.9, task="digits"), make_row(3, 0.9, task_version="2")]
    assert dict(places(rows)) == {1: 1, 2: 1, 3: 1}


def test_latency_relative_to_concat_on_the_same_machine() -> None:
    rows = [
        make_row(1, latency_ms_p50=3.0),
        make_row(2, latency_ms_p50=2.0, fusion="concat", reference=True),
        make_row(3, latency_ms_p50=9.0, fusion="concat", encoders={"image": "resnet"}),
        make_row(4, latency_ms_p50=1.0, hardware=GPU),
        make_row(5, latency_ms_p50=None),
    ]
    ratios = {int(s.row.id, 16): s.latency_vs_concat for s in rank(rows)}
    assert ratios == {1: 1.5, 2: 1.0, 3: 1.0, 4: None, 5: None}


def test_an_unknown_order_offers_the_nearest() -> None:
    with pytest.raises(InvalidParameter, match="Did you mean 'latency'"):
        rank([make_row(1)], "latncy")
    assert rank([]) == []


def test_the_page_shows_the_figures_of_the_rows() -> None:
    row = make_row(1, 0.98765, latency_ms_p50=0.8251, parameters=2_345_678, peak_memory_mib=612.4)
    page = markdown(rank([row, make_row(2, 0.5)]))
    (line,) = [line for line in page.splitlines() if line.startswith("| 1 | image:cnn")]
    parts = [part.strip() for part in line.strip("|").split("|")]
    assert parts == [
        "1",
        "image:cnn + question:bow",
        "product *(preferred)*",
        "mlp",
        "plain",
        "**0.988** [0.978, 0.998]",
        "+0.200 [+0.150, +0.250]",
        "0.83 / 1.75",
        "612",
        "2.35 M",
        "3 (community)",
        "A",
        "[`000000000001`](000000000001.json)",
    ]
    assert "yes/no (7,345 rows)" in page
    assert "| 0.988 |" in page.split("## By question type")[1]
    assert f"- **A**: {CPU}" in page


def test_a_column_that_says_nothing_of_any_row_is_left_out_with_its_note() -> None:
    """Retrieval has no gain and no concat."""
    rows = [make_row(1, gain=None), make_row(2, gain=None, fusion="dual")]
    page, wide = markdown(rank(rows)), terminal_table(rank(rows), 300)
    for words in ("gain over", "× concat", "not shown to help"):
        assert words not in page
        assert not any(words in str(column.header) for column in wide.columns)
    table = next(line for line in page.splitlines() if line.startswith("| 1"))
    assert table.count("|") == len(wide.columns) + 1 and "–" not in table
    assert "× concat" in markdown(rank([make_row(1), make_row(2, fusion="concat")]))


def test_the_csv_holds_every_figure_in_full(tmp_path: Path) -> None:
    rows = [make_row(1, 0.9), make_row(2, 1 / 3, latency_ms_p50=2 / 3, gain=None, seeds=[7])]
    _, table = write_board(tmp_path, rows)
    first, second = csv.DictReader(io.StringIO(table.read_text()))
    assert (first["rank"], second["rank"], second["gain"]) == ("1", "", "")
    assert float(second["accuracy"]) == 1 / 3
    assert float(second["latency_ms_p50"]) == 2 / 3
    assert float(first["gain_low"]) == 0.15
    assert first["seeds"] == "101 102 103"


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A0", "@SUM(1)", "+1", "-x", "\t=1"])
def test_no_name_is_a_formula_of_a_spreadsheet(tmp_path: Path, name: str) -> None:
    quality = {name: make_row(1).quality["accuracy"]}
    _, table = write_board(tmp_path, [make_row(1, fusion=name, metric=name, quality=quality)])
    (line,) = csv.DictReader(io.StringIO(table.read_text()))
    assert line["fusion"] == f"'{name}"
    assert not any(text.startswith(("=", "+", "@", "\t")) for text in (*line, *line.values()))


def test_a_metric_s_name_cannot_leave_its_cell(tmp_path: Path) -> None:
    name = "a|b<img src=x>\nc"
    page, _ = write_board(
        tmp_path, [make_row(1, metric=name, quality={name: make_row(1).quality["accuracy"]})]
    )
    assert r"| a\|b\<img src=x> c on test |" in page.read_text()


def test_a_board_shows_one_task(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="digits, vqa"):
        write_board(tmp_path, [make_row(1), make_row(2, task="digits")])


def test_names_cannot_break_the_table() -> None:
    page = markdown(rank([make_row(1, fusion="a|b", hardware="x | [y](z)")]))
    table = [line for line in page.splitlines() if line.startswith("|")][:3]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "x \\| [y\\](z)" in page


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        (gain(0.2, 0.1, 0.3), "Fusion helps on vqa: +0.200 accuracy [+0.100, +0.300]"),
        (gain(0.01, -0.02, 0.03), "Fusion is not shown to help on vqa"),
        (gain(0.01, 0.0, 0.03), "Fusion is not shown to help on vqa"),
        (gain(-0.2, -0.3, -0.1), "Fusion hurts on vqa: −0.200"),
        (None, "Whether fusion helps on vqa is not known"),
    ],
)
def test_the_headline_is_honest_about_the_gain(interval: Gain | None, says: str) -> None:
    assert headline([make_row(1, gain=interval)])[0].startswith(says)


def test_the_headline_names_a_better_single_modality_than_validation_chose() -> None:
    fused = make_row(1, 0.95, gain=gain(0.2, 0.1, 0.3))
    chosen = make_row(2, 0.75, fusion="only-question", gain=None)
    better = make_row(3, 0.9, fusion="only-image", gain=None)
    says = "Validation chose only-question; on test only-image does better, 0.900, which leaves"
    assert f"{says} +0.050." in headline([fused, chosen, better])
    near = replace(better, quality=make_row(3, 0.8).quality)
    assert "Validation chose" not in " ".join(headline([fused, chosen, near]))
    assert "Validation chose" not in " ".join(headline([fused, chosen]))
    assert "Validation chose" not in " ".join(headline([fused, chosen, replace(better, seeds=[1])]))


def test_a_row_that_does_not_help_is_marked() -> None:
    helps, noise, hurts = (
        make_row(1, gain=gain(0.2, 0.1, 0.3)),
        make_row(2, gain=gain(0.0, -0.1, 0.1)),
        make_row(3, gain=gain(-0.2, -0.3, -0.1)),
    )
    cell = {s.row.id: cells.gain_cell(s) for s in rank([helps, noise, hurts])}
    assert cell[helps.id] == "+0.200 [+0.100, +0.300]"
    assert cell[noise.id].endswith("not shown to help")
    assert cell[hurts.id].endswith("shown to hurt")


@pytest.mark.parametrize(
    ("flags", "note"),
    [
        (["contended"], "‡ While this latency was measured other work was using the cores."),
        (["unstable", "caches"], "timings did not settle, or a repeated request was faster"),
        ([], None),
        (None, None),
        ([{"of": "a stranger"}], None),
    ],
)
def test_a_latency_that_was_disturbed_is_marked_and_the_mark_explained(
    flags: list[Any] | None, note: str | None
) -> None:
    calm, row = make_row(1), make_row(2, cost={"flags": flags}, latency_ms_p50=1.5)
    page = markdown(rank([calm, row]))
    terminal = terminal_table(rank([calm, row]), 200).caption.plain
    assert cells.latency_cell(calm) == "1.25 / 1.75"
    assert cells.latency_cell(row) == "1.50 / 1.75" + (" ‡" if note else "")
    for text in (page, terminal):
        assert note in text if note else "‡" not in text


@pytest.mark.parametrize(("single", "mark"), [(True, ""), (False, " ‡"), (None, " ‡")])
def test_timings_of_large_batches_that_did_not_settle_leave_the_single_request_as_it_is(
    single: bool | None, mark: str
) -> None:
    latency = {"batch_1": {"warm_up_stable": single}, "batch_32": {"warm_up_stable": False}}
    row = make_row(1, cost={"flags": ["unstable"], "latency": latency})
    assert cells.latency_cell(row) == "1.25 / 1.75" + mark


def test_of_several_concats_the_plain_one_that_validation_prefers_is_the_yardstick() -> None:
    concat = {"fusion": "concat", "reference": True}
    rows = [
        make_row(1, objective="joint", validation=0.99, latency_ms_p50=1.0, **concat),
        make_row(2, validation=0.8, latency_ms_p50=2.0, **concat),
        make_row(3, validation=0.9, latency_ms_p50=4.0, **concat),
        make_row(4, encoders={"question": "bow", "image": "cnn"}, latency_ms_p50=8.0),
        make_row(5, encoders={"image": "hog", "question": "bow"}, latency_ms_p50=16.0),
    ]
    for order in (rows, rows[::-1]):
        ratios = {int(s.row.id, 16): s.latency_vs_concat for s in rank(order)}
        assert ratios == {1: 0.25, 2: 0.5, 3: 1.0, 4: 2.0, 5: 4.0}


def test_a_ratio_to_a_disturbed_concat_is_marked_though_the_row_itself_was_not() -> None:
    calm, gpu = make_row(1), make_row(3, hardware=GPU)
    concat = make_row(2, fusion="concat", reference=True, cost={"flags": ["contended"]})
    own = make_row(4, fusion="concat", reference=True, hardware=GPU)
    cell = {s.row.id: cells.relative_cell(s) for s in rank([calm, concat, gpu, own])}
    assert cell == {calm.id: "1.00× ‡", concat.id: "1.00× ‡", gpu.id: "1.00×", own.id: "1.00×"}


def test_a_gain_over_another_single_modality_than_the_boards_says_what_that_scores() -> None:
    weak = make_row(2, 0.6, fusion="only-image", gain=None, validation=0.5)
    strong = make_row(3, 0.7, fusion="only-text", gain=None, validation=0.8)
    first, second = (
        make_row(n, 0.8, search={"single": {"id": single.id, "sha256": ""}})
        for n, single in ((4, weak), (5, strong))
    )
    preview = make_row(6, 0.9, fusion="only-text", gain=None, validation=0.9, seeds=[7])
    cell = {s.row.id: cells.gain_cell(s) for s in rank([weak, strong, first, second, preview])}
    assert cell[first.id].endswith("] over 0.600")
    assert "over" not in cell[second.id]


def test_the_headline_is_of_the_fusion_that_validation_prefers() -> None:
    """The first on test owes some of its place to luck there."""
    lucky = make_row(1, 0.83, fusion="product", gain=gain(0.05, 0.01, 0.09), validation=0.7)
    chosen = make_row(2, 0.82, fusion="gated", gain=gain(0.04, -0.01, 0.08), validation=0.8)
    first, *rest = headline([lucky, chosen])
    assert first.startswith("Fusion is not shown to help")
    text = " ".join(rest)
    assert "Validation prefers gated" in text
    assert "On test product" in text and "does better, 0.830; chosen by test" in text
    alike = headline([replace(lucky, fusion="gated"), chosen])
    assert any(f"On test another gated (row {lucky.id}) does better" in line for line in alike)
    assert "chosen by test" not in " ".join(
        headline([replace(lucky, quality=chosen.quality), chosen])
    )


def test_the_row_of_the_headline_is_marked_in_the_table_and_the_mark_explained() -> None:
    lucky, chosen = make_row(1, 0.93), make_row(2, 0.92, validation=0.97, reference=True)
    alone = make_row(3, 0.91, validation=0.99, fusion="only-image", gain=None)
    preview = make_row(4, 0.95, validation=0.98, seeds=[7])
    page = markdown(rank([lucky, chosen, alone, preview]))
    (marked,) = [line for line in page.splitlines() if line.startswith("|") and "preferred" in line]
    assert "| product *(preferred, reference)* |" in marked and chosen.id in marked
    assert "- *preferred*: of the rows with a gain, the best on validation." in page
    assert "preferred" not in markdown(rank([alone]))


def test_the_headline_tells_ties_and_the_share_of_the_optimum() -> None:
    rows = [make_row(1, 0.882, optimum=0.9), make_row(2, 0.88, optimum=0.9)]
    text = " ".join(headline(rows))
    assert "One other row overlaps with the interval of the first" in text
    assert "0.900: the first row reaches 98.0% of it" in text


def test_the_headline_speaks_of_the_newest_version() -> None:
    old = make_row(1, 0.99, created="2025-01-01T00:00:00+00:00")
    new = make_row(2, 0.5, task_version="2")
    assert "accuracy 0.500" in " ".join(headline([old, new]))
    assert markdown(rank([old, new])).index("version `2`") < markdown(rank([old, new])).index("`1`")


def test_each_task_has_a_table_of_its_own(monkeypatch, capsys) -> None:
    from mmbench.cli.board import _show

    monkeypatch.setenv("COLUMNS", "80")
    quality = {"a-metric-of-a-long-name": {"mean": 0.5, "low": 0.4, "high": 0.6, "per_seed": [0.5]}}
    other = {"task": "other", "metric": "a-metric-of-a-long-name", "quality": quality}
    _show([make_row(1), make_row(2, **other)], None, "accuracy", as_json=False)
    text = capsys.readouterr().out
    assert text.index("\nother\n") < text.index("a-metric-of-a-long-name")
    assert text.count("1.25 / 1.75") == 2 and text.count("Fusion helps on") == 2


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_table_fits_and_breaks_no_figure(width: int) -> None:
    from rich.console import Console

    rows = [
        make_row(1, 0.98765, fusion="[bold]x"),
        make_row(2, 0.5, fusion="concat", reference=True, hardware=GPU),
        make_row(3, 0.4, seeds=[7], gain=gain(0.0, -0.1, 0.1)),
    ]
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(terminal_table(rank(rows), width))
    text = console.export_text()
    shown = ["[bold]x", "0.988", "[0.978, 0.998]", "1.25 / 1.75", "123 k", f"A: {CPU}", GPU]
    assert [part for part in shown if part not in text] == []
    assert "(reference)" in text
    assert "not ranked together" in text


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [(40, "[0.978, 0.998]", "1.25"), (60, "1.25 / 1.75", "123"), (160, "123 k", "\x00")],
)
def test_a_narrow_terminal_leaves_columns_out_and_cuts_no_figure(
    width: int, shown: str, left_out: str
) -> None:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(terminal_table(rank([make_row(1, 0.98765, fusion="concat")]), width))
    table = console.export_text()
    assert "concat" in table and shown in table and left_out not in table
