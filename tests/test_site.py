"""The static site: its figures are those of the rows, strangers' text is harmless, links lead."""

import json
import os
import random
import re
import sys
from collections import Counter
from dataclasses import MISSING, fields, replace
from math import log10
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from html_elements import Element, elements
from site_rows import BOARDS, CLASSES, COMMITTED, full_rows, over_another_single
from test_leaderboard import gain, make_row

from mmbench.cli import main as cli
from mmbench.leaderboard.across import across
from mmbench.leaderboard.commands import needs, search_command
from mmbench.leaderboard.rank import rank
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import write_row
from mmbench.leaderboard.row_text import row_from_dict
from mmbench.leaderboard.site.build import write_site
from mmbench.leaderboard.site.comparison_file import read_comparisons
from mmbench.leaderboard.site.names import names
from mmbench.leaderboard.site.told_apart import told_apart
from mmbench.leaderboard.site.trade_off import trade_offs
from mmbench.leaderboard.site.whisker import scale

EVIL = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


def cells_by_row(page: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Row id to column to the attributes of its cell."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for element in elements(page):
        if "data-id" in element.attributes:
            line = found.setdefault(element.attributes["data-id"], {})
        elif "data-column" in element.attributes and "tbody" in element.inside:
            line[element.attributes["data-column"]] = element.attributes
    return found


def figures(page: Path) -> list[dict[str, Any]]:
    """Every figure of every chart on a page."""
    scripts = [e for e in elements(page) if e.attributes.get("type") == "application/json"]
    return [figure for script in scripts for figure in json.loads(script.text)]


def texts(page: Path, tag: str) -> list[str]:
    return [" ".join(e.text.split()) for e in elements(page) if e.tag == tag]


def number(text: str) -> float | None:
    return float(text) if text else None


def written(tmp_path: Path, rows: list[Row]) -> Path:
    write_site(tmp_path / "site", rows, [], Path("leaderboards"))
    return tmp_path / "site"


def test_the_table_holds_the_figures_of_the_rows_unrounded(committed: Path, full: Path) -> None:
    rows = [*COMMITTED, *full_rows(12)]
    assert len(rows) > 40
    ranked = rank(rows)
    ratios = {s.row.id: s.latency_vs_concat for s in ranked}
    for row in rows:
        site = committed if row in COMMITTED else full
        cells = cells_by_row(site / "tasks" / f"{row.task}.html")[row.id]
        values = {column: cell["data-value"] for column, cell in cells.items()}
        main, gained = row.main, row.gain
        assert (float(values["score"]), float(cells["score"]["data-low"])) == (
            main["mean"],
            main["low"],
        )
        assert float(cells["score"]["data-high"]) == main["high"]
        board = [
            s for s in ranked if (s.row.task, s.row.task_version) == (row.task, row.task_version)
        ]
        assert ("gain" in values) == any(s.row.gain for s in board), "no column without a figure"
        assert ("concat" in values) == any(s.latency_vs_concat for s in board)
        assert number(values.get("gain", "")) == (gained["mean"] if gained else None)
        if gained:
            ends = (float(cells["gain"]["data-low"]), float(cells["gain"]["data-high"]))
            assert ends == (gained["low"], gained["high"])
        assert number(values["p50"]) == row.latency_ms_p50
        assert number(values["p95"]) == row.latency_ms_p95
        assert number(values.get("concat", "")) == ratios[row.id]
        assert number(values["memory"]) == row.peak_memory_mib
        assert int(values["parameters"]) == row.parameters
        assert int(values["seeds"]) == len(row.seeds)


def test_a_row_has_a_page_with_every_score_and_its_json_beside_it(full: Path) -> None:
    for row in full_rows(12):
        page = full / "rows" / row.task / f"{row.id}.html"
        values = {e.attributes.get("data-value") for e in elements(page)}
        for quality in row.quality.values():
            assert {repr(s) for s in (quality["mean"], *quality["per_seed"])} <= values
        assert row_from_dict(json.loads(page.with_suffix(".json").read_text())) == row
        command = f"mmbench rerun leaderboards/{row.task}/{row.id}.json"
        assert command in texts(page, "code")


def test_a_row_page_shows_empty_settings_and_how_to_verify_it(tmp_path: Path) -> None:
    row = make_row(1, spec={"task": {"name": "vqa"}, "fusion": {"params": {"modulated": ""}}})
    page = written(tmp_path, [row]) / "rows" / "vqa" / f"{row.id}.html"
    assert f"mmbench verify leaderboards/vqa/{row.id}.json" in texts(page, "code")
    assert any('modulated = ""' in text for text in texts(page, "dd"))


def test_no_two_pages_share_a_title(full: Path, tmp_path: Path) -> None:
    """Tabs and bookmarks of two rows of one fusion are told apart, or of a row at two places."""
    comparisons, _ = read_comparisons(BOARDS / "comparisons")
    shared = [c for c in comparisons if c.name == "watch-fusions"]
    write_site(tmp_path, [row for row in COMMITTED if row.task == "watch"], shared, BOARDS)
    for site in (full, tmp_path):
        found = Counter(title for page in site.rglob("*.html") for title in texts(page, "title"))
        assert [title for title, n in found.items() if n > 1] == []


def test_every_link_leads_to_a_file_and_nothing_to_the_network(committed: Path, full: Path) -> None:
    pages = [*committed.rglob("*.html"), *full.rglob("*.html")]
    assert len(pages) > 50
    for page in pages:
        found = elements(page)
        ids = {e.attributes.get("id") for e in found}
        for element in found:
            for key in ("href", "src"):
                link = element.attributes.get(key)
                if link is None or link == "data:,":
                    continue
                path, _, anchor = link.partition("#")
                assert not re.match(r"\w+:|//", link), link
                assert not path or (page.parent / unquote(path)).is_file(), link
                assert path or not anchor or anchor in ids, link


def test_text_of_strangers_is_harmless_everywhere(tmp_path: Path) -> None:
    (row, *_) = full_rows(1)
    evil = replace(
        row,
        fusion=EVIL,
        head=EVIL,
        objective=EVIL,
        encoders={EVIL: EVIL},
        hardware=EVIL,
        task_version=EVIL,
        metric=EVIL,
        quality={EVIL: row.quality["accuracy"]},
        slices={EVIL: {EVIL: {"rows": 3, "score": 0.5}}},
        spec={"fusion": {"name": EVIL, "params": {EVIL: EVIL}}, "head": EVIL},
        search={
            "study": EVIL,
            "history": [{"number": 0, "state": "finished", "value": 0.5, "fusion": EVIL}, EVIL],
        },
        outputs=[EVIL] * 4,
        environment={EVIL: EVIL},
        cost={
            "latency": {"batch_1": {"encoders": EVIL}, EVIL: 1},
            "memory": {"training": {"peak_memory_mib": EVIL, "batch_size": EVIL}},
        },
        gain={"over": EVIL, "mean": 0.1, "low": 0.05, "high": 0.2},
        predictions={"file": EVIL, "sha256": EVIL},
    )
    site = written(tmp_path, [evil, replace(evil, id="f" * 12, latency_ms_p50=99.0)])
    for page in site.rglob("*.html"):
        for element in elements(page):
            assert element.tag != "img"
            assert not any(key.startswith("on") for key in element.attributes)
            if element.tag == "script":
                assert _ours(element), element
        assert "49" not in "".join(texts(page, "h1"))
    for figure in figures(site / "tasks" / f"{row.task}.html"):
        assert "<img" not in json.dumps(figure) and "<script" not in json.dumps(figure)


def _ours(script: Element) -> bool:
    if script.attributes.get("type") == "application/json":
        return bool(json.loads(script.text))
    return script.text == "" and "assets/" in script.attributes["src"]


def test_charts_are_figures_that_plotly_knows(full: Path) -> None:
    from plotly.graph_objects import Figure

    task, row = full / "tasks" / "stamps.html", full / "rows" / "stamps" / f"{0:012x}.html"
    found = [*figures(task), *figures(row)]
    assert len(found) > 12
    for figure in found:
        assert Figure(figure).data


def test_sections_appear_with_their_fields_only(full: Path, tmp_path: Path) -> None:
    titles = texts(full / "tasks" / "stamps.html", "h2")
    for title in ("Who brings what", "What survives a disturbance", "By question type"):
        assert title in titles
    optional = {f.name: f.default for f in fields(Row) if f.default is not MISSING}
    del optional["predictions"]  # without them a row is a preview
    rows = [replace(row, **optional, slices={}, search={}) for row in full_rows(3)]
    write_site(tmp_path, rows, [], Path("leaderboards"))
    plain = texts(tmp_path / "tasks" / "stamps.html", "h2")
    assert plain == ["Board", "What accuracy costs"]


def test_the_front_is_what_nothing_beats_in_score_and_latency(full: Path) -> None:
    page = full / "tasks" / "stamps.html"
    marked = {e.attributes["data-id"] for e in elements(page) if "data-front" in e.attributes}
    ranked = [row for row in full_rows(12) if not row.preview]
    assert marked == {row.id for row in ranked if not any(_beats(b, row) for b in ranked)}
    assert 0 < len(marked) < len(ranked)


def _beats(a: Row, b: Row) -> bool:
    quick = (a.latency_ms_p50 or 0) <= (b.latency_ms_p50 or 0)
    good = a.main["mean"] >= b.main["mean"]
    return a.hardware == b.hardware and a is not b and quick and good


@pytest.mark.parametrize(
    ("gained", "sign", "claim", "of_all"),
    [
        ((0.2, 0.1, 0.3), "▲ Yes", "Fusion helps on vqa", "helps on 1 of 1 task."),
        ((0.2, -0.1, 0.3), "◇ Not shown", "Fusion is not shown", "and is not shown to help on 1."),
        ((-0.2, -0.3, -0.1), "▼ No, it hurts", "Fusion hurts on vqa", "and hurts on 1."),
    ],
)
def test_the_answer_comes_first_as_a_word_and_a_sign(
    tmp_path: Path, gained: tuple[float, float, float], sign: str, claim: str, of_all: str
) -> None:
    site = written(tmp_path, [make_row(1, gain=gain(*gained))])
    page = site / "tasks" / "vqa.html"
    (heading,) = texts(page, "h1")
    assert heading.startswith(claim)
    assert texts(page, "strong")[0] == sign
    assert texts(site / "index.html", "h1")[0].endswith(of_all)


@pytest.mark.parametrize(
    ("search", "times"),
    [
        ({"single": {"id": f"{2:012x}", "sha256": ""}}, "2.0×"),
        ({"single": {"id": f"{9:012x}", "sha256": ""}}, "8.00 ms"),  # not on this board
        ({"single": None}, "4.0×"),
        ({}, "4.0×"),
    ],
    ids=["the second of its name", "elsewhere", "none", "unknown"],
)
def test_the_cost_is_set_against_the_row_that_the_gain_is_over(
    tmp_path: Path, search: dict[str, Any], times: str
) -> None:
    alone = {"fusion": "only-question", "encoders": {"question": "bow"}, "gain": None}
    rows = [
        make_row(1, 0.8, latency_ms_p50=2.0, **alone),
        make_row(2, 0.7, latency_ms_p50=4.0, **alone),
        make_row(3, 0.9, latency_ms_p50=8.0, search=search),
    ]
    page = written(tmp_path, rows) / "tasks" / "vqa.html"
    assert texts(page, "strong")[2] == times


def test_a_disturbed_latency_is_marked_wherever_it_is_shown(tmp_path: Path) -> None:
    while_ = "measured while other work was using the cores"
    folder = compared(tmp_path)
    file = folder / "rows" / "vqa" / f"{1:012x}.json"
    document = json.loads(file.read_text()) | {"cost": {"flags": ["contended"]}}
    file.write_text(json.dumps(document))
    comparisons, _ = read_comparisons(tmp_path / "comparisons")
    row = make_row(9, cost={"flags": ["contended"]})
    write_site(tmp_path / "site", [row], comparisons, tmp_path)
    task, index = tmp_path / "site" / "tasks" / "vqa.html", tmp_path / "site" / "index.html"
    own = tmp_path / "site" / "rows" / "vqa" / f"{row.id}.html"
    compares = tmp_path / "site" / "comparisons" / "vqa-fusions" / "index.html"
    assert "1.25 ‡" in texts(task, "td") and any(while_ in text for text in texts(task, "span"))
    assert any(while_ in text for text in texts(own, "span"))
    assert any(text.startswith("1.25 / 1.75 ‡ ms") for text in texts(index, "p"))
    assert texts(compares, "td").count("1.25 ‡") == 1
    assert any(text.endswith("× ‡") for text in texts(compares, "td"))
    notes = [*texts(task, "li"), *texts(compares, "li"), *texts(index, "p")]
    assert len([note for note in notes if note.startswith("‡ While this latency")]) == 3


@pytest.mark.parametrize(
    "changes",
    [{"encoders": {"speech": "mel-cnn"}}, {"target": "retrieval"}],
    ids=["one modality", "retrieval"],
)
def test_where_nothing_is_fused_nobody_asks_whether_fusion_helps(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    site = written(tmp_path, [make_row(n, gain=None, **changes) for n in (1, 2)])
    assert texts(site / "tasks" / "vqa.html", "strong")[0] == "· Nothing is fused"


def test_the_row_that_the_headline_is_of_is_marked_in_the_table(tmp_path: Path) -> None:
    rows = [make_row(1, 0.93), make_row(2, 0.92, fusion="film", validation=0.97)]
    page = written(tmp_path, rows) / "tasks" / "vqa.html"
    (marked,) = [text for text in texts(page, "th") if "preferred" in text]
    assert marked.startswith("film preferred")
    assert any(text.startswith("preferred of the rows with a gain") for text in texts(page, "li"))


def test_a_gain_over_another_single_modality_says_so_and_the_notes_explain_it(
    tmp_path: Path, full: Path
) -> None:
    page = written(tmp_path, over_another_single()) / "tasks" / "vqa.html"
    shown = [e for e in elements(page) if e.attributes.get("class") == "yardstick"]
    assert [e.text.strip() for e in shown] == ["over 0.700"]
    assert any(note.startswith("over x: over the best single") for note in texts(page, "li"))
    plain = texts(full / "tasks" / "stamps.html", "li")
    assert not any(note.startswith("over x") for note in plain)


def test_a_board_of_one_preview_says_that_nothing_is_known(tmp_path: Path) -> None:
    site = written(tmp_path, [make_row(1, seeds=[7], gain=None, latency_ms_p50=None)])
    assert "nothing to compare" in texts(site / "tasks" / "vqa.html", "h1")[0]
    assert "1 preview" in texts(site / "tasks" / "vqa.html", "td")


def test_versions_have_tables_apart_the_newest_first(tmp_path: Path) -> None:
    old = make_row(1, task_version="old", created="2020-01-01T00:00:00+00:00")
    page = written(tmp_path, [old, make_row(2, task_version="new")]) / "tasks" / "vqa.html"
    captions = texts(page, "caption")
    assert ["new" in captions[0], "old" in captions[1], len(captions)] == [True, True, 2]


def test_costs_of_two_machines_share_no_chart(full: Path) -> None:
    hardware = {row.id: row.hardware for row in full_rows(12)}
    machines = []
    for figure in figures(full / "tasks" / "stamps.html"):
        if "latency" in figure["layout"]["xaxis"].get("title", {}).get("text", ""):
            points = [p for trace in figure["data"] for p in trace.get("customdata", [])]
            machines.append({hardware[Path(url).stem] for *_, url in points})
    assert machines == [{"CPU"}, {"NVIDIA H200"}]  # the commonest first


def test_where_less_is_better_the_lower_left_is_best(tmp_path: Path) -> None:
    worst_last = [
        make_row(i, 0.3 + i / 10, higher_is_better=False, latency_ms_p50=1.0 + i) for i in range(3)
    ]
    page = written(tmp_path, worst_last) / "tasks" / "vqa.html"
    front, *_ = figures(page)[0]["data"]
    assert front["y"] == [0.3] and "The lower left is best" in page.read_text()


def test_an_interval_is_drawn_to_scale() -> None:
    drawn = scale([(-0.5, 0.0, 0.5)], zero=True).whisker((-0.5, 0.0, 0.25))
    assert drawn.zero == drawn.mean == 50.0
    assert drawn.high - drawn.mean == pytest.approx((drawn.mean - drawn.low) / 2, abs=0.02)
    assert scale([]).whisker((0.0, 0.0, 0.0)).zero is not None


def test_only_what_has_changed_is_written_again(tmp_path: Path) -> None:
    rows = full_rows(2)
    site = written(tmp_path, rows)
    for path in site.rglob("*.*"):
        os.utime(path, (0, 0))
    changed = replace(rows[0], train_seconds=99.0)
    write_site(site, [changed, *rows[1:]], [], Path("leaderboards"))
    touched = {p.name for p in site.rglob("*.*") if p.stat().st_mtime > 0}
    assert touched == {f"{rows[0].id}.html", f"{rows[0].id}.json"}


def test_a_row_says_its_level_on_the_board_and_on_its_page(full: Path) -> None:
    levels = {row.id: row.level for row in full_rows(12)}
    assert set(levels.values()) == {"preview", "community", "verified"}
    board = elements(full / "tasks" / "stamps.html")
    shown = {e.attributes["data-id"]: e.attributes for e in board if "data-level" in e.attributes}
    assert {id_: line["data-level"] for id_, line in shown.items()} == levels
    tags = [e for e in board if e.tag == "em" and e.inside[-2:] == ["tr", "td"]]
    assert [e.text for e in tags] == [levels[id_] for id_ in shown]
    for id_, level in levels.items():
        assert texts(full / "rows" / "stamps" / f"{id_}.html", "h1")[0].endswith(level)


def test_a_row_page_shows_its_mistakes_its_calibration_and_its_trial(full: Path) -> None:
    row = full_rows(12)[2]
    assert row.confusion and row.reliability
    page = full / "rows" / "stamps" / f"{row.id}.html"
    cells = [e.attributes for e in elements(page) if "shade" in e.attributes.get("class", "")]
    assert [int(c["data-value"]) for c in cells] == [n for line in row.confusion for n in line]
    assert set(CLASSES) <= set(texts(page, "th"))
    drawn = {trace["name"]: trace for f in figures(page) for trace in f["data"] if "name" in trace}
    assert drawn["accuracy"]["y"] == [a for a in row.reliability["accuracy"] if a is not None]
    assert drawn["rows"]["y"] == [n for n in row.reliability["rows"] if n]
    trial = row.search["history"][2]
    assert (drawn["this row"]["x"], drawn["this row"]["y"]) == ([2], [trial["value"]])
    assert "29 of 30 trials finished; 1 failed." in " ".join(texts(page, "p"))
    other = figures(full / "rows" / "stamps" / f"{5:012x}.html")
    assert not any(trace.get("name") == "this row" for f in other for trace in f["data"])


@pytest.mark.parametrize("kind", ["missing", "shuffled", "conflict", "area"])
def test_a_figure_of_robustness_is_shown_with_its_interval(tmp_path: Path, kind: str) -> None:
    row = full_rows(1)[0]
    assert row.robustness
    name = "all" if kind == "area" else "image"
    figure = f"{row.robustness[kind][name]:.3f}"
    none: dict[str, Any] = {"missing": {}, "shuffled": {}, "conflict": {}, "area": {}}
    known = {**none, "clean": [0.0, 1.0], kind: {name: [0.111, 0.222]}}
    site = written(tmp_path, [replace(row, robustness={**row.robustness, "intervals": known})])
    assert f"{figure} [0.111, 0.222]" in " ".join(texts(site / "tasks" / "stamps.html", "td"))
    own = texts(site / "rows" / "stamps" / f"{row.id}.html", "dd")
    assert kind == "area" or f"{figure} [0.111, 0.222]" in own


@pytest.mark.parametrize(
    ("emap", "interaction", "shown", "drawn"),
    [
        (0.7, 0.2, ["0.900", "0.700", "+0.200"], True),
        (0.7, 2e-17, ["0.700", "0.700", "+0.000"], False),
        (None, None, [], False),
    ],
)
def test_emap_is_shown_by_itself_beside_the_score_of_the_same_rows(
    tmp_path: Path,
    emap: float | None,
    interaction: float | None,
    shown: list[str],
    drawn: bool,
) -> None:
    row = full_rows(1)[0]
    assert row.contribution
    measured = {**row.contribution, "emap": emap, "interaction": interaction}
    site = written(tmp_path, [replace(row, contribution=measured)])
    page = site / "rows" / "stamps" / f"{row.id}.html"
    pairs = dict(zip(texts(page, "dt"), texts(page, "dd"), strict=True))
    names = ("score", "additive stand-in", "difference")
    assert [pairs[name] for name in names if name in pairs] == shown
    assert any(note.startswith("on a sample of rows") for note in texts(page, "p")) == bool(shown)
    assert ("What only interaction brings" in texts(page, "h3")) == drawn


def test_the_page_across_tasks_says_what_the_ranking_says(committed: Path) -> None:
    found, page = across(COMMITTED).to_dict(), committed / "across.html"
    assert texts(page, "h1") == found["words"][:1] and len(found["words"]) > 2
    assert set(found["words"]) <= {*texts(page, "h1"), *texts(page, "p")}
    lines = cells_by_row(page)
    assert list(lines) == [method["method"] for method in found["methods"]]
    keys = {"meanrank": "average_rank", "wins": "win_rate", "concat": "latency_vs_concat"}
    for method in found["methods"]:
        cells = lines[method["method"]]
        elo = [float(cells["score"][key]) for key in ("data-value", "data-low", "data-high")]
        assert elo == [method["elo"][key] for key in ("rating", "low", "high")]
        assert all(number(cells[k]["data-value"]) == method[v] for k, v in keys.items())
        assert int(cells["tasks"]["data-value"]) == method["tasks"]
    shaded = [e for e in elements(page) if "shade" in e.attributes.get("class", "")]
    by_task = [e for e in shaded if "data-rank" in e.attributes]
    each = [cell for method in found["methods"] for cell in method["cells"].values()]
    assert [float(e.attributes["data-rank"]) for e in by_task] == [c["rank"] for c in each]
    assert ["†" in e.text for e in by_task] == [cell["stands_in"] for cell in each]
    rates = [e.attributes["data-value"] for e in shaded[len(by_task) :] if e.text]
    order = list(lines)
    assert [float(r) for r in rates] == [
        found["win_rates"][a][b] for a in order for b in order if a != b
    ]
    for front in found["fronts"]:
        assert front["hypervolume"] is None or repr(front["hypervolume"]) in page.read_text()
    assert "Across tasks" in texts(committed / "index.html", "a")


def test_one_task_or_only_previews_have_no_page_across(full: Path, tmp_path: Path) -> None:
    assert not (full / "across.html").exists()
    previews = [make_row(1, task=task, seeds=[7]) for task in ("vqa", "other")]
    assert not (written(tmp_path, previews) / "across.html").exists()


def test_comparisons_on_two_tasks_are_ranked_apart_from_boards(tmp_path: Path) -> None:
    for task in ("vqa", "other"):
        compared(tmp_path, task=task)
    comparisons, _ = read_comparisons(tmp_path / "comparisons")
    write_site(tmp_path / "site", [make_row(9)], comparisons, tmp_path)
    page = tmp_path / "site" / "across-comparisons.html"
    links = [e.attributes["href"] for e in elements(page) if "td" in e.inside and e.tag == "a"]
    assert len(links) == 8 and all((page.parent / link).is_file() for link in links)
    assert "controlled comparisons" in " ".join(texts(page, "p"))
    assert not (tmp_path / "site" / "across.html").exists()


def test_names_in_a_chart_never_lie_on_each_other_and_the_first_come_first() -> None:
    draw = random.Random(0)
    points = [(10 ** draw.uniform(-1, 1), draw.random(), f"name-{i}") for i in range(70)]
    trace = names(points, (0.1, 10.0), (0.0, 1.0))
    assert trace["text"][0] == "name-0" and 3 < len(trace["text"]) <= 10
    boxes = []
    for x, y, name, side in zip(
        *(trace[key] for key in ("x", "y", "text", "textposition")), strict=True
    ):
        place, width = 240 * log10(x / 0.1) / 2, 7 * len(name)
        left = place if side == "top right" else place - width
        assert left > -26, "it lies over the axis"
        boxes.append((left, left + width, 200 * y))
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert one[0] >= other[1] or other[0] >= one[1] or abs(one[2] - other[2]) >= 17
    assert names([(1.0, 5.0, "outside")], (0.1, 10.0), (0.0, 1.0))["text"] == []


def test_a_chart_of_many_names_its_front_and_leaves_far_references_outside() -> None:
    rows = [make_row(i, 0.8 + i / 1000, latency_ms_p50=1.0 + i % 7) for i in range(60)]
    rows.append(make_row(60, 0.1, fusion="majority", reference=True))
    chart, *_ = trade_offs(rank(rows), lambda row: row.id)
    layout = chart.views[0].figure["layout"]
    assert 0.7 < layout["yaxis"]["range"][0] < 0.8 and "press twice" in chart.caption
    few, *_ = trade_offs(rank(rows[-9:]), lambda row: row.id)
    assert few.views[0].figure["layout"]["yaxis"]["range"][0] < 0.1


def test_points_of_one_fusion_are_named_by_what_differs() -> None:
    """Every row of retrieval is of ``dual``."""
    parts = {"fusion": "dual", "head": "dot"}
    rows = [
        make_row(1, encoders={"image": "hog", "text": "tfidf"}, objective="infonce", **parts),
        make_row(2, encoders={"image": "cnn", "text": "tfidf"}, objective="infonce", **parts),
        make_row(3, encoders={"image": "cnn", "text": "tfidf"}, objective="siglip", **parts),
    ]
    assert told_apart(rows) == ["hog · infonce", "cnn · infonce", "cnn · siglip"]
    chart, *_ = trade_offs(rank(rows), lambda row: row.id)
    shown = [t for trace in chart.views[0].figure["data"] for t in trace.get("text", [])]
    assert shown and set(shown) <= set(told_apart(rows))
    assert told_apart([rows[0], make_row(4)]) == ["dual", "product"]
    again = make_row(5, encoders=rows[1].encoders, objective="infonce", **parts)
    assert told_apart([*rows[:2], again])[1:] == [f"row {rows[1].id}", f"row {again.id}"]
    assert told_apart([rows[0]]) == ["dual"] and told_apart([]) == []


PLACES = [("gated", 0.0004), ("sum", 0.4), ("concat", None), ("majority", 0.01)]
"""Contestants, best first, with the p-value against concat."""


def compared(boards: Path, task: str = "vqa", **changes: Any) -> Path:
    """A comparison as `mmbench compare` writes it: three contestants and a reference."""
    folder = boards / "comparisons" / f"{task}-fusions"
    verdicts = []
    for i, (label, p) in enumerate(PLACES):
        row = make_row(i, 0.9 - i / 10, task=task, fusion=label, reference=label == "majority")
        write_row(folder / "rows", row)
        against = {
            "other": "concat",
            "mean": 0.2 - i / 10,
            "low": 0.1,
            "high": 0.3,
            "p_corrected": p,
        }
        verdicts.append(
            {
                "label": label,
                "reference": row.reference,
                "score": row.main["mean"],
                "mean_rank": i + 1.0,
                "yardstick": None if p is None else {**against, "p": p},
                "best": None,
                "best_after": [0.5, 0.6, 0.65],
                "row": row.id,
                "leads": i == 0,
            }
        )
    document = {
        "headline": ["gated is better.", "More."],
        "request": {"budget": 3},
        "verdicts": verdicts,
        "failures": {"mutan": "No."},
    }
    (folder / "comparison.json").write_text(json.dumps({**document, **changes}))
    return folder


def test_a_comparison_has_a_page_with_its_verdicts(tmp_path: Path) -> None:
    compared(tmp_path)
    comparisons, problems = read_comparisons(tmp_path / "comparisons")
    write_site(tmp_path / "site", [make_row(9)], comparisons, tmp_path)
    page = tmp_path / "site" / "comparisons" / "vqa-fusions" / "index.html"
    lines = cells_by_row(page)
    assert not problems and [c["rank"]["data-value"] for c in lines.values()] == ["1", "2", "3", ""]
    assert float(lines[f"{1:012x}"]["gain"]["data-value"]) == 0.1
    found = " ".join(texts(page, "td"))
    assert "▲ better p < 0.001" in found and "◇ tie p 0.400" in found and "▼ worse" in found
    assert texts(page, "p")[1].endswith("equally tuned: image:cnn + question:bow, mlp head")
    assert texts(page, "h1") == ["gated is better."] and "mutan No." in texts(page, "li")[-1]
    assert f"mmbench rerun {tmp_path}/comparisons/vqa-fusions/rows/vqa/{0:012x}.json" in texts(
        page.with_name(f"{0:012x}.html"), "code"
    )
    assert "gated is better." in " ".join(texts(tmp_path / "site" / "index.html", "li"))


@pytest.mark.parametrize(
    "changes",
    [{"verdicts": [{"label": "x"}]}, {"headline": 3}, {"verdicts": []}, {"request": {"x": 1e308}}],
)
def test_a_damaged_comparison_is_a_problem_that_names_its_file(
    tmp_path: Path, changes: Any
) -> None:
    path = compared(tmp_path, **changes) / "comparison.json"
    comparisons, (problem,) = read_comparisons(tmp_path / "comparisons")
    assert comparisons == [] and str(path) in problem


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["mmbench", "leaderboard", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


def test_the_command_writes_the_tasks_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boards, site = tmp_path / "boards", tmp_path / "site"
    compared(boards)
    for task in ("vqa", "other"):
        write_row(boards, make_row(1, task=task))
    (boards / "comparisons" / "vqa-fusions" / "rows" / "vqa" / f"{0:012x}.json").touch()
    run(monkeypatch, "--leaderboards", str(boards), "--html", str(site), "--task", "other")
    assert [p.name for p in (site / "tasks").iterdir()] == ["other.html"]
    assert not (site / "comparisons").exists()
    run(monkeypatch, "--leaderboards", str(boards), "--html", str(site))
    assert (site / "tasks" / "vqa.html").exists() and (site / "comparisons").exists()
    messages = capsys.readouterr().err
    assert "lacks the field" not in messages and f"wrote {site}/index.html" in messages


def test_what_cannot_be_written_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_row(tmp_path, make_row(1))
    (tmp_path / "file").write_text("")
    arguments = ["--leaderboards", str(tmp_path), "--html", str(tmp_path / "file")]
    monkeypatch.setattr(sys, "argv", ["mmbench", "leaderboard", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2 and "cannot be written" in capsys.readouterr().err


def test_the_committed_comparisons_are_all_shown() -> None:
    folder = Path(__file__).parents[1] / "leaderboards" / "comparisons"
    found, problems = read_comparisons(folder)
    assert not problems and len(found) == len(list(folder.glob("*/comparison.json"))) > 0


def test_a_table_is_searched_with_its_file(tmp_path, monkeypatch, capsys) -> None:
    pets = str(Path(__file__).parent / "pets" / "pets.csv")
    params = {"path": pets, "sha256": "ab" * 32, "target": "price", "split": "group=owner",
              "target_kind": "regression", "image_size": 16, "seed": 0}  # fmt: skip
    spec = {"task": {"name": "table.pets", "params": params}}
    row = replace(full_rows(1)[0], task="table.pets", spec=spec)
    command = search_command(row).split()
    assert command[:2] == ["mmbench", "search"] and "--seed" not in command
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["mmbench", "inspect", *command[2:]])  # the same options
    with pytest.raises(SystemExit) as end:
        cli.main()
        raise SystemExit(0)
    assert not end.value.code, capsys.readouterr().err

    site = written(tmp_path, [row])
    index = (site / "index.html").read_text()
    assert f"--data {pets}" in index and "--task table" not in index
    for page in ("tasks/table.pets.html", f"rows/table.pets/{row.id}.html"):
        assert "This needs the table pets.csv, SHA-256 abababababab…" in (site / page).read_text()
    open_to_all = replace(full_rows(1)[0], task="emoji")
    assert search_command(open_to_all) == "mmbench search --task emoji" and not needs(open_to_all)
    held = {"task": {"name": "vqa-v2", "params": {"root": "/data/v q"}}}
    published = replace(row, task="vqa-v2", spec=held)
    assert search_command(published).endswith("--task vqa-v2 --set 'task.root=/data/v q'")
    assert "/data/v q" in needs(published)
