"""A user's own table: kinds, parts, lazy files, and every kind of bad input by name."""

import json
import os
import wave
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from PIL import Image

from mmbench.augmentation import offered
from mmbench.cli.data_options import options_of
from mmbench.datasets.table import Table
from mmbench.errors import (
    DataUnavailable,
    InvalidParameter,
    InvalidSpec,
    MMBenchError,
    UnusableData,
)
from mmbench.plugins import load_plugins
from mmbench.resolve import resolve_dataset
from mmbench.search.propose import plainest
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.tables import media, targets
from mmbench.tables.copies import near_copies
from mmbench.tables.kinds import infer_kind
from mmbench.tables.media import Shape
from mmbench.tables.options import NOTHING, Asked, TableOptions
from mmbench.tables.prepared import Prepared
from mmbench.tables.preparing import prepare_anew
from mmbench.tables.read import read_table
from mmbench.tables.recipe import Recipe
from mmbench.tables.samples import media_column
from mmbench.tables.splitting import draw_parts, given_parts
from mmbench.tables.store import Stored, store
from mmbench.tables.targets import infer_target
from mmbench.tables.taskfile import read_task_file, write_task_file
from mmbench.testing import check_dataset
from mmbench.trial import Workbench, run_trial
from mmbench.types import MISSING, LazyValues, Part

PARTS: tuple[Part, ...] = ("train", "val", "test")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))


def picture(path: Path, seed: int, size: int = 24) -> Path:
    """Blobs of its own: no two seeds are near-copies."""
    path.parent.mkdir(exist_ok=True)
    rough = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(rough).resize((size, size), Image.Resampling.BICUBIC).save(path)
    return path


def sound(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return path


def frame(n: int = 60, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": draw.normal(size=n).round(4),
            "breed": draw.choice(["cat", "dog", "owl"], n),
            "note": [f"a note about animal number {i} here" for i in range(n)],
            "label": ["yes" if i % 2 else "no" for i in range(n)],
        }
    )


def saved(folder: Path, table: pd.DataFrame) -> Path:
    path = folder / "data.csv"
    table.to_csv(path, index=False)
    return path


def prepared(path: Path, asked: Asked = NOTHING, **options: object) -> Prepared:
    return prepare_anew(TableOptions.of({"path": str(path), "target": "label", **options}), asked)


def said(found: Prepared) -> str:
    return "\n".join(f"{f.where}: {f.says} {f.items}" for f in found.findings)


# Bad input: what must be mended -----------------------------------------------------------------


def absent(folder: Path) -> dict[str, object]:
    saved(folder, frame())
    return {"path": str(folder / "dat.csv")}


def without_rows(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame().iloc[:0]))}


def empty(folder: Path) -> dict[str, object]:
    (folder / "data.csv").write_text("")
    return {"path": str(folder / "data.csv")}


def twice_named(folder: Path) -> dict[str, object]:
    (folder / "data.csv").write_text("age,note,age,label\n1,a,2,yes\n")
    return {"path": str(folder / "data.csv")}


def ragged(folder: Path) -> dict[str, object]:
    (folder / "data.csv").write_text("\nage,label\n1,yes,\n2,no,3\n")
    return {"path": str(folder / "data.csv")}


def shifted(folder: Path) -> dict[str, object]:
    """pandas would take the first cells for the index, or drop the last ones."""
    (folder / "data.csv").write_text("note,label\n" + "nice, thing,yes\n" * 9)
    return {"path": str(folder / "data.csv")}


def open_quote(folder: Path) -> dict[str, object]:
    (folder / "data.csv").write_text('age,label\n1,yes\n2,"no\n3,yes\n')
    return {"path": str(folder / "data.csv")}


def one_class(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame().assign(label="yes")))}


def constant_number(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame().assign(label=2.5))), "target_kind": "regression"}


def amounts(folder: Path) -> dict[str, object]:
    table = frame().assign(label=[f"{i // 7},{i:02d} or so" for i in range(60)])
    return {"path": str(saved(folder, table))}


def amounts_as_numbers(folder: Path) -> dict[str, object]:
    return {**amounts(folder), "target_kind": "regression"}


def no_target(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame())), "target": "lable"}


def one_group(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame().assign(owner="Ann"))), "split": "group=owner"}


def unknown_part(folder: Path) -> dict[str, object]:
    table = frame().assign(part=["train"] * 57 + ["val", "test", "later"])
    return {"path": str(saved(folder, table)), "split": "part"}


def bad_shares(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame())), "split": "0.8/0.1"}


def wrong_folder(folder: Path) -> dict[str, object]:
    table = frame().assign(photo=[f"{i}.png" for i in range(60)])
    return {"path": str(saved(folder, table))}


def addresses(folder: Path) -> dict[str, object]:
    table = frame().assign(photo=[f"https://host.example/{i}.png" for i in range(60)])
    return {"path": str(saved(folder, table))}


def nothing_to_read(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame()[["label"]].assign(country="CH")))}


def not_json(folder: Path) -> dict[str, object]:
    (folder / "data.jsonl").write_text('{"age": 1, "label": "a"}\n{"age": 2, "label": \n')
    return {"path": str(folder / "data.jsonl")}


def key_twice(folder: Path) -> dict[str, object]:
    (folder / "data.jsonl").write_text('{"age": 1, "label": "a"}\n{"age": 2, "x": 1, "x": 3}\n')
    return {"path": str(folder / "data.jsonl")}


def no_parquet(folder: Path) -> dict[str, object]:
    (folder / "data.parquet").write_text("age,label\n1,a\n")
    return {"path": str(folder / "data.parquet")}


def unknown_ending(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame()).rename(folder / "data.doc"))}


def no_test_part(folder: Path) -> dict[str, object]:
    table = frame().assign(part=["train"] * 50 + ["val"] * 10)
    return {"path": str(saved(folder, table)), "split": "part"}


def two_rows(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame(2))), "target": "age", "target_kind": "regression"}


def constant_in_training(folder: Path) -> dict[str, object]:
    table = frame().assign(part=["train"] * 50 + ["test"] * 10, label=[2.5] * 50 + [*range(10)])
    return {"path": str(saved(folder, table)), "split": "part", "target_kind": "regression"}


def one_label(folder: Path) -> dict[str, object]:
    table = frame().assign(label=["new" if i % 2 else "" for i in range(60)])
    return {"path": str(saved(folder, table)), "target_kind": "multilabel"}


def no_target_named(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame())), "target": ""}


def unknown_target_kind(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame())), "target_kind": "ranking"}


def no_file_named(folder: Path) -> dict[str, object]:
    table = frame().assign(photo=[None] * 60)
    modalities = '{"photo": {"image": ["photo"]}}'
    return {"path": str(saved(folder, table)), "modalities": modalities}


def no_such_modality(folder: Path) -> dict[str, object]:
    modalities = '{"table": {"number": ["aeg"]}}'
    return {"path": str(saved(folder, frame())), "modalities": modalities}


def changed(folder: Path) -> dict[str, object]:
    return {"path": str(saved(folder, frame())), "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (absent, ["dat.csv", "Did you mean 'data.csv'?"]),
        (without_rows, ["data.csv has no rows"]),
        (empty, ["data.csv is empty"]),
        (twice_named, ["'age' is columns 1 and 3", "Rename"]),
        (ragged, ["line 4 has 3 cells, the header has 2"]),
        (shifted, ["line 2 has 3 cells, the header has 2", "Quote cells"]),
        (open_quote, ["is not a table", "close each quote"]),
        (one_class, ["'label' is 'yes' in all rows"]),
        (constant_number, ["'label' is 2.5 in all rows"]),
        (amounts, ["60 of 60 rows have a class of their own", "--target-kind regression"]),
        (amounts_as_numbers, ["'label' holds no number, as '0,00 or so' is none", "as 1234.5"]),
        (no_target, ["no column 'lable'", "Did you mean 'label'?"]),
        (one_group, ["'owner' has 1 group", "choose another column"]),
        (unknown_part, ["'part' holds 'later' in row 60", "train, val, test"]),
        (bad_shares, ["0.8/0.1", "0.8/0.1/0.1"]),
        (wrong_folder, ["'photo'", "60 of 60 files", "(row 1)", "--root"]),
        (addresses, ["'photo', row 1", "downloads nothing"]),
        (nothing_to_read, ["no column to learn from", "'country': all rows hold 'CH'"]),
        (not_json, ["line 2 is not JSON"]),
        (key_twice, ["Line 2 has two columns of one name: 'x'"]),
        (no_parquet, ["data.parquet is not a Parquet file"]),
        (unknown_ending, ["'.doc' is not known. Known: .csv"]),
        (no_test_part, ["'part' has no row for test", "leave --split out"]),
        (two_rows, ["2 rows in 2 groups that belong together leave test empty"]),
        (constant_in_training, ["'label' is 2.5 in all training rows", "Split otherwise"]),
        (one_label, ["'label' has 1 label; it takes two"]),
        (no_target_named, ["Say what to predict", "age, breed, note, label"]),
        (unknown_target_kind, ["--target-kind 'ranking': allowed are"]),
        (no_file_named, ["'photo' names no file", "--kind photo=ignored"]),
        (no_such_modality, ["no column 'aeg'", "one of modalities", "Did you mean 'age'?"]),
        (changed, ["has changed"]),
    ],
)
def test_what_must_be_mended_is_named(case, words, tmp_path):
    options = case(tmp_path)
    with pytest.raises((UnusableData, DataUnavailable, InvalidParameter)) as error:
        prepared(**options)
    for word in words:
        assert word in str(error.value)


# Bad input: what was done about it --------------------------------------------------------------


def test_broken_and_absent_images_are_missing_and_listed(tmp_path):
    files = [picture(tmp_path / "img" / f"{i}.png", i) for i in range(60)]
    os.truncate(files[4], 60)
    files[9].unlink()
    files[11].write_bytes(b"")
    table = frame().assign(photo=[f"img/{i}.png" for i in range(60)])
    found = prepared(saved(tmp_path, table))
    index = found.split("train").columns["photo"].index
    there = {
        int(r)
        for p in PARTS
        for r, i in zip(found.rows(p), found.split(p).columns["photo"].index, strict=True)
        if i == MISSING
    }
    assert index is not None and there == {4, 9, 11}
    text = said(found)
    assert "1 file does not exist, so row 10 misses this modality" in text
    assert "2 files are broken, so rows 5, 12 miss this modality" in text
    assert all(f"{i}.png (row {i + 1})" in text for i in (4, 9, 11))


def test_sounds_silent_empty_and_of_mixed_rates(tmp_path):
    draw = np.random.default_rng(0)
    for i in range(60):
        rate = 8_000 if i % 3 == 0 else 16_000
        sound(tmp_path / f"{i}.wav", draw.uniform(-0.5, 0.5, rate // 10), rate)
    sound(tmp_path / "1.wav", np.zeros(1_600))
    sound(tmp_path / "2.wav", np.zeros(0))
    table = frame().assign(clip=[f"{i}.wav" for i in range(60)])
    found = prepared(saved(tmp_path, table))
    text = said(found)
    assert "mixed sample rates (38 at 16000 Hz, 20 at 8000 Hz): all were resampled" in text
    assert "1 sound silent throughout, kept as silence: row 2" in text
    assert "1 file is broken, so row 3 misses this modality" in text and "0 samples" in text
    values = found.split("train").columns["clip"].values[torch.tensor([0])]
    assert values.shape == (1, 1_600) and 0.1 < float(values.abs().max()) <= 1.0


def with_cells(column: str, cells: dict[int, object]) -> pd.DataFrame:
    table = frame()
    table[column] = table[column].astype(object)
    for row, cell in cells.items():
        table.loc[row, column] = cell
    return table


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (with_cells("age", {3: None, 5: None}), ["age: 2 empty cells"]),
        (with_cells("age", {3: np.inf}), ["age: 1 cell is infinite and counts as empty: row 4"]),
        (
            with_cells("age", {6: "NA", 7: "None"}),
            ["age: 2 cells are 'NA', 'None' and count as empty"],
        ),
        (with_cells("age", {6: "old"}), ["age: 1 cell is no number and counts as empty: row 7"]),
        (with_cells("label", {8: None}), ["label: 1 row has no usable target", "row 9"]),
        (with_cells("label", {8: "rare"}), ["1 of 3 classes have one row only: 'rare' (row 9)"]),
        (with_cells("note", {2: "  "}), ["note: 1 empty cell, where the modality is missing"]),
        (frame().assign(note=np.nan), ["note: not used: it is empty"]),
        (frame().assign(country="CH"), ["country: not used: all rows hold 'CH'"]),
        (frame().assign(id=range(60)), ["id: not used: a number of its own"]),
        (frame(240).assign(label=["a"] * 220 + ["b"] * 20), ["'a' has 220 rows (92%), 'b' has 20"]),
        (
            pd.concat([frame(), frame().iloc[[0, 1]]]),
            ["split: 4 rows are equal in all columns; such rows were kept in one part"],
        ),
    ],
)
def test_what_was_done_is_said(table, words, tmp_path):
    text = said(prepared(saved(tmp_path, table)))
    for word in words:
        assert word in text


def read(folder: Path, content: str | bytes, name: str = "data.csv") -> pd.DataFrame:
    content = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(content)
    return read_table(folder / name)[0]


def test_only_empty_cells_of_words_are_missing(tmp_path):
    table = frame().assign(label=["None", "Mild", "Severe"] * 20)
    table["breed"] = ["NA", "DE", "null"] * 20
    found = prepared(saved(tmp_path, table))
    assert (
        found.task.outputs == ("Mild", "None", "Severe") and sum(found.division.parts != "") == 60
    )
    assert found.recipe.tables["table"].categories["breed"] == ("DE", "NA", "null")
    assert "NA" not in said(found)


def test_a_word_for_nothing_names_no_file(tmp_path):
    for i in range(60):
        picture(tmp_path / f"{i}.png", i)
    table = frame().assign(photo=[f"{i}.png" if i % 4 else "NA" for i in range(60)])
    found = prepared(saved(tmp_path, table))
    assert "photo: 15 cells are 'NA' and count as empty: rows 1, 5" in said(found)
    new = found.recipe.apply(table.iloc[:2], tmp_path)["photo"]
    assert new.index.tolist() == [MISSING, 0]


def test_what_is_written_in_digits_keeps_its_digits(tmp_path):
    rows = "code,id,n,zip\n0001,1152921504606846986,1,\n0002,1152921504606846977,02,2\n,,3,3\n"
    table = read(tmp_path, rows)
    assert table["code"].dropna().tolist() == ["0001", "0002"]
    assert table["id"].dropna().tolist() == ["1152921504606846986", "1152921504606846977"]
    assert table["n"].tolist() == ["1", "02", "3"] and table["zip"].tolist()[1:] == [2.0, 3.0]
    codes = pd.Series(["01067", "80331", "04109"] * 20, name="zip")
    assert infer_kind(codes, tmp_path).kind == "category"
    assert infer_target(codes) == ("classification", "")


def test_blank_lines_are_rows_but_for_the_last(tmp_path):
    """Predictions of the rows below would else be those of other rows."""
    assert read(tmp_path, "text\na\n\nb\n\n\n")["text"].isna().tolist() == [False, True, False]
    (tmp_path / "data.csv").write_text("\r\na,b\r\n1,x\r\n2\r\n\r\n3,y\r\n")
    table, found = read_table(tmp_path / "data.csv")
    assert table["a"].dropna().tolist() == [1, 2, 3] and len(table) == 4
    assert found[0].says.startswith("rows 2, 3 have fewer cells than the header")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("x,name\r1.5,Zoë\r-2,b\r", "data.csv"),
        ("x;name\n1,5;Zoë\n-2;b\n", "data.csv"),
        ("x\tname\n1,5\tZoë\n-2\tb\n", "data.csv"),
        ("x\tname\n1,5\tZoë\n-2\tb\n", "data.tsv"),
        ("\n\nx,name,\n1.5,Zoë,\n-2,b,,,\n", "data.csv"),
        ("x,name\n1.5,Zoë\n-2,b\n".encode("utf-16"), "data.csv"),
        ("\ufeffx,name\n1.5,Zoë\n-2,b\n", "data.csv"),
        ('{"x": 1.5, "name": "Zoë"}\r\n{"x": -2, "name": "b"}\r\n', "data.jsonl"),
    ],
)
def test_tables_as_programs_write_them(content, name, tmp_path):
    table = read(tmp_path, content, name)
    assert table["x"].tolist() == [1.5, -2] and table["name"].tolist() == ["Zoë", "b"]


def test_another_separator_is_said(tmp_path):
    (tmp_path / "data.csv").write_text("x;name\n1,5;a\n")
    found = " ".join(finding.says for finding in read_table(tmp_path / "data.csv")[1])
    assert "separated by ';'" in found and "decimal commas" in found


def test_a_line_separator_in_a_string_ends_no_line(tmp_path):
    assert read(tmp_path, '{"t": "a\u2028b"}\n', "data.jsonl")["t"].tolist() == ["a\u2028b"]


def test_a_named_index_is_a_column(tmp_path):
    table = frame().set_index("breed")
    table.to_parquet(tmp_path / "data.parquet")
    assert read_table(tmp_path / "data.parquet")[0]["breed"].tolist() == table.index.tolist()
    table.assign(breed="cat").to_parquet(tmp_path / "data.parquet")
    with pytest.raises(UnusableData, match="'breed' is columns 1 and 5"):
        read_table(tmp_path / "data.parquet")
    table.reset_index().iloc[::2].to_parquet(tmp_path / "data.parquet")
    assert list(read_table(tmp_path / "data.parquet")[0]) == ["breed", "age", "note", "label"]


def test_ten_thousand_categories_share_a_place(tmp_path):
    table = frame(400).assign(code=[f"c{i % 200}" for i in range(400)])
    found = prepared(saved(tmp_path, table), Asked(kinds={"code": "category"}))
    assert "code: 200 categories" in said(found) and "'other'" in said(found)
    assert len(found.recipe.tables["table"].categories["code"]) <= 64


def test_a_csv_that_is_not_utf8(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(frame().assign(town="Zürich of the north").to_csv().encode("cp1252"))
    found = prepared(path)
    assert "encoding: not UTF-8 from row 1 on (byte 0xfc)" in said(found)


def test_every_row_has_a_place_or_is_named(tmp_path):
    found = prepared(saved(tmp_path, with_cells("label", {8: None})))
    assert sum(len(found.rows(p)) for p in PARTS) == 59
    assert any(f.level == "done" and f.items == ("row 9",) for f in found.findings)


# Parts ---------------------------------------------------------------------------------------


def test_groups_stay_whole_and_classes_keep_their_shares(tmp_path):
    table = frame(600).assign(owner=[f"o{i // 4}" for i in range(600)])
    found = prepared(saved(tmp_path, table), split="group=owner")
    owners = [set(table.owner.iloc[found.rows(p)]) for p in PARTS]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    assert "owner" not in str(found.recipe.to_dict())
    plain = prepared(saved(tmp_path, table), split="0.5/0.25/0.25")
    for part, share in zip(PARTS, (0.5, 0.25, 0.25), strict=True):
        target = plain.split(part).target
        assert len(target) == pytest.approx(600 * share, abs=2)
        assert target.float().mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([3] * 300, (720, 90, 90)),
        ([5] * 200, (801, 100, 99)),
        ([10] * 30, (241, 30, 29)),
        ([950, 40, 10], (800, 100, 100)),
    ],
)
def test_parts_have_their_shares_however_small_the_classes(sizes, expected):
    """Each class was rounded on its own, and all of them the same way."""
    classes = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = draw_parts(np.arange(len(classes)), classes, (0.8, 0.1, 0.1), 0)
    assert tuple((parts == part).sum() for part in PARTS) == expected
    assert set(classes[parts == "train"]) == set(range(len(sizes)))
    for each, size in enumerate(sizes):
        assert abs((parts[classes == each] == "train").sum() - 0.8 * size) <= 2


def test_parts_go_by_their_usual_names():
    cells = pd.Series([" Train ", "training", "DEV", "valid", "validation ", "Testing", None])
    expected = ["train", "train", "val", "val", "val", "test", ""]
    assert given_parts(cells).tolist() == expected


def test_a_part_of_less_than_half_its_share_is_named(tmp_path):
    table = frame().assign(owner=["A"] * 58 + ["B", "C"])
    text = said(prepared(saved(tmp_path, table), split="group=owner"))
    assert "split: val has 1 of 60 rows, its share is 10%; test has 1 of 60 rows" in text
    assert "its share" not in said(prepared(saved(tmp_path, frame())))


def test_a_split_column_is_kept_and_copies_leave_training(tmp_path):
    table = frame().assign(part=["train"] * 50 + ["test"] * 10)
    table.loc[55, ["age", "breed", "note"]] = table.loc[5, ["age", "breed", "note"]]
    found = prepared(saved(tmp_path, table), split="part")
    assert set(found.rows("test")) == set(range(50, 60))
    assert 5 not in found.rows("train") and 5 not in found.rows("val")
    assert "1 rows of an earlier part are equal in all columns" in said(found)
    assert len(found.rows("val")) == pytest.approx(5, abs=1)


def test_rows_without_a_part_are_left_out_and_named(tmp_path):
    parts = [None, "val", *["train"] * 48, *["test"] * 10]
    found = prepared(saved(tmp_path, frame().assign(part=parts)), split="part")
    assert found.division.parts.tolist() == ["", *parts[1:]]
    assert "part: 1 row without a part left out: row 1" in said(found)


def test_a_sign_that_ties_too_many_rows_is_none(tmp_path):
    table = frame()
    table.loc[:12, ["age", "breed", "note"]] = [0.5, "cat", "the same note for all of them"]
    found = prepared(saved(tmp_path, table))
    assert "13 rows are equal in all columns, too many to keep in one part: they are split" in (
        said(found)
    )
    assert len(set(found.division.groups)) == 60 and set(found.division.parts[:13]) == set(PARTS)
    table.loc[12, "age"] = 0.25  # twelve of sixty are few enough
    found = prepared(saved(tmp_path, table))
    assert "12 rows are equal in all columns; such rows were kept in one part" in said(found)
    assert len(set(found.division.parts[:12])) == 1


def test_near_copies_of_images_stay_together(tmp_path):
    for i in range(60):
        picture(tmp_path / "img" / f"{i}.png", i % 50, size=24)
    for i in range(50, 60):  # the same picture, saved again with loss
        with Image.open(tmp_path / "img" / f"{i}.png") as image:
            image.save(tmp_path / "img" / f"{i}.jpg", quality=80)
    names = [f"img/{i}.{'jpg' if i >= 50 else 'png'}" for i in range(60)]
    found = prepared(saved(tmp_path, frame().assign(photo=names)))
    parts, groups = found.division.parts, found.division.groups
    assert all(parts[i] == parts[i - 50] and groups[i] == groups[i - 50] for i in range(50, 60))
    assert len(set(groups)) == 50
    assert "20 rows are near-copies in 'photo'" in said(found)


def test_flat_images_are_no_copies():
    prints = np.stack([np.full(256, g, np.uint8) for g in (10, 10, 200)])
    assert (near_copies(prints, {}) == -1).all()


def test_the_recipe_learns_from_training_rows_alone(tmp_path):
    table = frame(100).assign(part=["train"] * 80 + ["val"] * 10 + ["test"] * 10)
    table.loc[95, "breed"] = "yak"
    table.loc[80:, "age"] += 1_000
    target = np.arange(100.0)
    found = prepared(
        saved(tmp_path, table.assign(label=target)), split="part", target_kind="regression"
    )
    assert found.recipe.tables["table"].categories["breed"] == ("cat", "dog", "owl")
    assert found.scale == pytest.approx((target[:80].mean(), target[:80].std()))
    assert torch.allclose(found.split("train").target.mean(), torch.zeros(()), atol=1e-5)


def test_large_numbers_keep_what_tells_them_apart(tmp_path):
    """float32 knows every 128th second since 1970, and every 131st second in milliseconds."""
    draw = np.random.default_rng(7).normal(size=60).round(3)
    table = frame().assign(ms=1_700_000_000_000 + (draw * 1000).astype(int), label=1.7e9 + draw)
    found = prepared(saved(tmp_path, table), target_kind="regression")
    fields = found.recipe.tables["table"]
    assert fields.numbers == ("age", "ms") and list(fields.scales) == ["ms"]
    recipe = Recipe.from_dict(json.loads(json.dumps(found.recipe.to_dict())))
    for part in PARTS:
        rows, split = found.rows(part), found.split(part)
        values = split.columns["table"].values
        assert np.corrcoef(split.target, draw[rows])[0, 1] > 0.9999
        assert np.corrcoef(values[:, 1], draw[rows])[0, 1] > 0.9999
        assert torch.equal(values[:, 0], torch.tensor(table["age"].to_numpy()[rows]).float())
        assert torch.equal(values, recipe.apply(table.iloc[rows], tmp_path)["table"].values)


# Kinds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["a.png", "b.JPG", None], "image"),
        (["a.avif", "b.jfif", "c.jp2"], "image"),
        (["https://x.org/a.jpg?w=3", "https://x.org/b.jpg#c"], "image"),
        (['["a.jpg", "b.jpg"]', '["c.jpg"]'], "image"),
        (["a.wav", "b.flac"], "audio"),
        (["a.opus", "b.OGA"], "audio"),
        (["1 2 3.5", "4 5.5 6"], "series"),
        (["1 2 -3", "-4 5 6", "7 -8 9"], "series"),
        (["1 2 3 4 5 6 7 8", "9 8 7 6 5 4 3 2"], "series"),
        (["555 123 4567", "555 765 4321"], "text"),
        (["4111 1111 1111 1111", "4111 1111 1111 1112"], "text"),
        (["a/1.mp4", "a/2.MP4", None], "ignored"),
        (["a.svg", "b.svg"], "ignored"),
        (["a.m4a", "b.m4a"], "ignored"),
        (["12 345", "6 789 012", "123 456.5"], "number"),
        (["1 2", "3 4"], "text"),
        ([b"\x89PNG", b"\x89PNG2"], "ignored"),
        ([{"bytes": b"\x89PNG", "path": None}] * 2, "ignored"),
        ([Decimal("1.50"), Decimal("2.25")], "number"),
        (["NA", "1.5", "none", "2.5"], "number"),
        ([[1.0, 2.0], [3.0]], "text"),
        (["[[1, 2], [3, 4]]", "[[5, 6], [7, 8]]"], "series"),
        ([1.5, 2.5, None], "number"),
        (["1", "2", "x", *map(str, range(30))], "number"),
        (["red", "blue"] * 10, "category"),
        ([True, False, True], "category"),
        (["2024-01-02", "2024-02-03 10:00"], "date"),
        (["3.4.2020", "13.4.2021"], "date"),
        (["03.04.2020 10:00", "13.04.2021 23:59:01"], "date"),
        (["03.04.24", "13.04.24"], "date"),
        (["3/4/2020", "31/4/2021"], "date"),
        (["10.0.0.1", "10.0.0.2"], "text"),
        ([f"a longer sentence {i}" for i in range(9)], "text"),
        ([None, None], "ignored"),
        (["same", "same"], "ignored"),
        (["yes", None, "yes", None, "yes"], "category"),
        ([True, True], "ignored"),
        ([2.5, 2.5], "ignored"),
        (list(pd.to_datetime(["2024-01-02"] * 2)), "ignored"),
        (["3.4.2020", "3.4.2020 "], "ignored"),
        ([[1.0, 2.0]] * 2, "ignored"),
    ],
)
def test_the_kind_of_a_column(cells, kind, tmp_path):
    assert infer_kind(pd.Series(cells, name="x"), tmp_path).kind == kind


DAYS = pd.date_range("2024-01-01", periods=60, freq="37h")
WRITTEN = [
    "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m/%d/%y",
    "%Y/%m/%d", "%Y.%m.%d", "%Y/%m/%d %H:%M", "%b %d, %Y", "%d %B %Y", "%d-%b-%Y %H:%M",
]  # fmt: skip


@pytest.mark.parametrize(
    "written",
    WRITTEN,
)
def test_a_column_of_dates_is_read_in_one_order(written, tmp_path):
    iso = DAYS.strftime("%Y-%m-%d %H:%M" if "%H" in written else "%Y-%m-%d")
    tables = [frame().assign(day=day) for day in (DAYS.strftime(written), iso)]
    found, expected = (prepared(saved(tmp_path, table)) for table in tables)
    assert "ambiguous" not in said(found)
    for part in PARTS:
        mine, other = (p.split(part).columns["table"].values for p in (found, expected))
        assert torch.equal(mine, other)
    recipe = Recipe.from_dict(json.loads(json.dumps(found.recipe.to_dict())))
    april = pd.DataFrame({"age": [0.0] * 2, "breed": ["cat"] * 2, "note": [""] * 2})
    april["day"] = [pd.Timestamp(2024, 4, 3).strftime(written), "2024-04-03"]
    new, same = recipe.apply(april, tmp_path)["table"].values
    assert torch.equal(new, same), "a new row is read in the order of the column it was learnt from"


def test_dates_that_can_be_read_in_two_ways_are_named(tmp_path):
    table = frame().assign(day=[f"{i % 12 + 1}/{i // 6 + 1}/2024" for i in range(60)])
    text = said(prepared(saved(tmp_path, table)))
    assert "day: the dates are ambiguous, read as month/day/year: no day is above 12" in text
    table.loc[[3, 5], "day"], table.loc[8, "day"] = "31/1/2024", "1/31/2024"
    text = said(prepared(saved(tmp_path, table)))
    assert "read as day/month/year: 2 have the day first and 1 the month" in text
    assert "day: 1 cell is no date and counts as empty: row 9" in text


def test_files_that_are_not_decoded_are_named_with_what_to_write(tmp_path):
    table = frame().assign(clip=[f"clips/{i}.mp4" for i in range(60)])
    text = said(prepared(saved(tmp_path, table)))
    assert "clip: not used: files that end in .mp4 are not decoded; write each as a folder" in text


def test_a_folder_of_frames_is_a_video(tmp_path):
    for clip in ("one", "two"):
        for i in range(3):
            picture(tmp_path / clip / f"{i}.png", i)
    cells = pd.Series(["one", "two"], name="clip")
    assert infer_kind(cells, tmp_path).kind == "video"
    (tmp_path / "three").mkdir()
    empty = pd.Series(["three", "one"], name="clip")
    assert infer_kind(empty, tmp_path).kind == "text", "a folder without frames"
    classes = pd.Series(["one", "two"] * 10, name="species")
    assert infer_kind(classes, tmp_path).kind == "category", "classes with a folder each"
    shape = media.Shape("video", 8, 4)
    assert media.decode(tmp_path / "one", shape).values.shape == (4, 3, 8, 8)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2, 1], ("classification", "")),
        (list(range(50)), ("regression", "")),
        ([0.5, 1.0, 1.5], ("regression", "")),
        (["a|b", "b", None], ("multilabel", "|")),
        ([["a"], ["a", "b"]], ("multilabel", "|")),
        (["yes", "no"], ("classification", "")),
        (["a", "b", "c; d", *"ab" * 10], ("classification", "")),
        (["a", "b", "c; a", *"ab" * 10], ("multilabel", ";")),
        (["a", "b; c", "d; e", *"ab" * 5], ("multilabel", ";")),
        (['["a", "b"]', "['b']", "[]"], ("multilabel", "|")),
        (["[note]", "a"], ("classification", "")),
        (["?", *(str(i / 4) for i in range(20))], ("regression", "")),
        (["NA", *map(str, range(50))], ("regression", "")),
        (["NA", "0", "1", "1"], ("classification", "")),
        (["007", *map(str, range(50))], ("classification", "")),
    ],
)
def test_the_kind_of_a_target(cells, kind):
    assert infer_target(pd.Series(cells, name="y")) == kind


def test_a_number_of_the_target_that_is_none_is_left_out(tmp_path):
    table = frame().assign(label=[str(i / 8) for i in range(60)])
    table.loc[3, "label"] = "?"
    found = prepared(saved(tmp_path, table))
    assert found.task.target == "regression"
    assert "1 row has no usable target (empty, not a number, such as '?'" in said(found)
    table["label"] = ["NA" if i % 10 == 3 else str(i % 2) for i in range(60)]
    found = prepared(saved(tmp_path, table))
    assert found.task.outputs == ("0", "1") and "6 rows have no usable target" in said(found)


def test_a_text_to_be_said_is_its_commonest_words(tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "MOST_WORDS", 4)
    monkeypatch.setattr(targets, "MOST_TOKENS", 5)
    said = pd.Series(["A cat, a cat!", "a dog a dog a dog", None, "rare a"], name="said")
    target, found = targets.read_target(said, "sequence", "")
    assert target.outputs == ("", "!", "a", "cat", "dog") and target.length == 5
    spoken = [" ".join(target.outputs[i] for i in row if i) for row in target.values.tolist()]
    assert spoken == ["a cat a cat", "a dog a dog", "", "a"]
    assert target.known.tolist() == [True, True, False, True]
    told = " ".join(finding.says for finding in found)
    assert (
        "row 3" in told and "2 rare words left out" in told and "2 answers cut to 4 words" in told
    )
    with pytest.raises(UnusableData, match="1 word; it takes two"):
        targets.read_target(pd.Series(["same", "same"], name="said"), "sequence", "")


def paired(folder: Path, n: int = 60) -> Path:
    """Photos and titles, two photos under each file's own name, some sides missing."""
    for i in range(n):
        picture(folder / "img" / f"{i}.png", i // 2)  # equal content in two files
    rows = pd.DataFrame({
        "photo": [f"img/{i}.png" for i in range(n)],
        "title": [f"what picture number {i // 3} shows" for i in range(n)],
        "age": [i // 2 for i in range(n)],
    })  # fmt: skip
    rows.loc[4, "photo"], rows.loc[9, "title"] = None, " "
    return saved(folder, rows)


PAIR = Asked((("image", ("photo",)), ("text", ("title",))))


def test_pairs_have_items_by_their_content(tmp_path):
    options = TableOptions(path=str(paired(tmp_path)), target_kind="retrieval")
    prepared = prepare_anew(options, PAIR)
    assert prepared.task.modalities == {"photo": "image", "title": "text"}
    assert (prepared.task.target, prepared.task.metric) == ("retrieval", "mean-recall")
    rows = np.concatenate([prepared.rows(part) for part in PARTS])
    assert {4, 9}.isdisjoint(rows) and len(rows) == 58
    photo, title = prepared.target.T.tolist()
    kept = [i for i in range(60) if i not in (4, 9)]
    for i in kept:
        for j in kept:
            assert (photo[i] == photo[j]) == (i // 2 == j // 2)
            assert (title[i] == title[j]) == (i // 3 == j // 3)
    said = " ".join(f.says for f in prepared.findings)
    assert "2 rows have only one side and are left out: rows 5, 10" in said
    assert "not one of the pair" in said
    part = {row: p for p in PARTS for row in prepared.rows(p)}
    assert all(part[i] == part[i + 1] for i in range(0, 60, 2) if {i, i + 1} <= part.keys())
    check_dataset(Table(**prepared.options.params()))


@pytest.mark.parametrize(
    ("options", "asked", "words"),
    [
        ({"target": "title"}, PAIR, "does not go with --target-kind retrieval"),
        ({}, Asked(kinds={"title": "text"}), "it takes two.*photo, title, table"),
        ({}, Asked((("image", ("photo",)),)), "it takes two.*has photo"),
    ],
)
def test_what_makes_no_pair_is_refused(options, asked, words, tmp_path):
    given = TableOptions(path=str(paired(tmp_path)), target_kind="retrieval", **options)
    with pytest.raises(InvalidParameter, match=words):
        prepare_anew(given, asked)


def test_a_column_that_gives_the_target_away_is_named(tmp_path):
    table = frame()
    table["outcome"] = table["label"].map({"yes": "alive", "no": "dead"})
    table["rank"] = [i % 2 + 2 * (i % 3) for i in range(len(table))]
    text = said(prepared(saved(tmp_path, table)))
    assert "outcome: each of its 2 values goes with one class of the target" in text
    assert "rank: each of its 6 values" in text and "--kind rank=ignored" in text
    assert "breed: each" not in text and "age: each" not in text
    table["cents"] = 100 * table["age"] + 3
    text = said(prepared(saved(tmp_path, table), target="age"))
    assert "cents: it orders the rows as the target does" in text and "rank: it" not in text


@pytest.mark.parametrize(("filled", "named"), [(29, False), (31, True)])
def test_a_column_that_is_mostly_empty_gives_nothing_away(tmp_path, filled, named):
    table = frame()
    table["outcome"] = (
        table["label"].map({"yes": "alive", "no": "dead"}).where(table.index < filled)
    )
    assert ("outcome: each of" in said(prepared(saved(tmp_path, table)))) == named
    table["cents"] = (100 * table["age"]).where(table.index < filled)
    found = said(prepared(saved(tmp_path, table), target="age"))
    assert ("cents: it orders" in found) == named


DRAW = np.random.default_rng(3)
CLASS, ROW = DRAW.integers(0, 3, 200), np.arange(200)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (np.where(ROW == 3, None, CLASS.astype(str)), "each of its 3 values"),
        (np.where(CLASS.argmax() == ROW, "x", np.array([*"xyz"])[CLASS]), "the class of 99.5%"),
        (CLASS + 0.9 * DRAW.random(200), "tells the class of 100.0%"),
        (np.where(ROW < 50, np.nan, CLASS + 0.9 * DRAW.random(200)), "of 100.0%"),
        (np.where(ROW < 120, np.nan, CLASS + 0.9 * DRAW.random(200)), ""),
        (CLASS + DRAW.normal(0, 0.6, 200), ""),
        (DRAW.random(200), ""),
        ([f"k{i}" for i in range(200)], ""),
    ],
)
def test_a_copy_of_the_target_with_gaps_or_noise_is_named(column, words, tmp_path):
    label = np.array([*"abc"])[CLASS]
    table = pd.DataFrame({"age": np.arange(200) % 7, "copy": column, "label": label})
    kind = "number" if pd.api.types.is_float_dtype(table["copy"]) else "category"
    text = said(prepared(saved(tmp_path, table), Asked(kinds={"copy": kind})))
    assert ("--kind copy=ignored" in text) == bool(words) and words in text


def test_the_commonest_of_uneven_classes_is_not_told_by_everything(tmp_path):
    table = frame(400).assign(label=["b" if i in (7, 90, 300) else "a" for i in range(400)])
    assert "--kind" not in said(prepared(saved(tmp_path, table)))


def test_an_empty_cell_is_a_missing_file_in_new_rows_too(tmp_path):
    picture(tmp_path / "a.png", 1)
    cells = ["a.png", "", "  ", None, float("nan"), pd.NA]
    column = media_column(cells, Shape("image", 8), tmp_path, "photo")
    assert column.index.tolist() == [0] + 5 * [MISSING]


def test_texts_that_read_the_same_are_one_item(tmp_path):
    """ "a" beside nothing reads as nothing beside "a" does: a model cannot tell them apart."""
    rows = pd.read_csv(paired(tmp_path))
    rows["more"] = np.where(rows.index % 2, rows["title"], "")
    rows["title"] = np.where(rows.index % 2, "", rows["title"])
    asked = Asked((("image", ("photo",)), ("text", ("title", "more"))))
    found = prepare_anew(
        TableOptions(path=str(saved(tmp_path, rows)), target_kind="retrieval"), asked
    )
    title = found.target[:, 1].tolist()
    assert title[0] == title[1] == title[2] != title[3]


@pytest.mark.parametrize(
    ("modalities", "words"),
    [
        ({"both": {"number": ["age"], "text": ["note"]}}, "'both' mixes .*A modality is one"),
        ({"both": {"image": ["age", "note"]}}, "'both' mixes"),
        ({"a": {"nombre": ["age"]}}, "kind 'nombre'. Did you mean 'number'"),
        ({"a": {"ignored": ["age"]}}, "kind 'ignored'"),
        ({"a": {"number": "age"}}, "modalities is JSON such as"),
        ({"a": {"number": []}}, "modalities is JSON such as"),
        ({"a": {}}, "modalities is JSON such as"),
    ],
)
def test_a_modality_that_cannot_be_is_refused(modalities, words, tmp_path):
    options = TableOptions(
        path=str(saved(tmp_path, frame())), target="label", modalities=json.dumps(modalities)
    )
    with pytest.raises(InvalidParameter, match=words):
        prepare_anew(options)


def test_columns_whose_names_read_alike_are_two_modalities(tmp_path):
    rows = frame().rename(columns={"note": "my note"})
    rows["my_note"] = rows["my note"].str.upper()
    found = prepared(saved(tmp_path, rows))
    assert json.loads(found.options.modalities)["my_note"] == {"text": ["my note"]}
    assert json.loads(found.options.modalities)["my_note_"] == {"text": ["my_note"]}


def test_a_modality_that_reads_the_target_is_refused(tmp_path):
    read = json.dumps({"table": {"number": ["age"], "category": ["breed"]}})
    options = TableOptions(path=str(saved(tmp_path, frame())), target="breed", modalities=read)
    with pytest.raises(InvalidParameter, match="'table' reads the column 'breed', which is the ta"):
        prepare_anew(options)
    assert prepare_anew(replace(options, target="label")).task.target == "classification"


def test_another_target_than_the_files_is_another_task(tmp_path):
    table = saved(tmp_path, frame())
    path = tmp_path / "task.toml"
    path.write_text(
        f'schema = 1\nname = "pets"\ndata = "{table.name}"\ntarget = "age"\n'
        'target_kind = "regression"\n'
    )
    assert options_of({"data": path})[0] == "pets"
    name, options, _ = options_of({"data": path, "target": "label"})
    assert (name, options.target, options.target_kind) == ("pets-label", "label", "")


def test_pictures_are_mirrored_where_the_user_says_so(tmp_path):
    options = TableOptions(path=str(paired(tmp_path)), target="age")
    assert prepare_anew(options).task.mirrored == ()
    assert "flip" not in offered(prepare_anew(options).task)
    task = prepare_anew(replace(options, mirrored="photo")).task
    assert task.mirrored == ("photo",) and "flip" in offered(task)
    with pytest.raises(InvalidParameter, match=r"--mirrored title.*Those are: photo"):
        prepare_anew(replace(options, mirrored="title"))


def test_what_is_asked_of_a_table_is_its_version(tmp_path):
    options = TableOptions(path=str(saved(tmp_path, frame())), target="label")
    version = prepare_anew(options).version
    for other in ({"target": "breed"}, {"split": "0.6/0.2/0.2"}, {"seed": 1}):
        assert prepare_anew(replace(options, **other)).version != version
    assert prepare_anew(prepare_anew(options).options).version == version


# The task ------------------------------------------------------------------------------------


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """Every kind of column, some cells missing, as JSON lines."""
    draw = np.random.default_rng(1)
    rows = []
    for i in range(60):
        picture(tmp_path / "img" / f"{i}.png", i)
        sound(tmp_path / f"{i}.wav", draw.uniform(-0.5, 0.5, 800))
        picture(tmp_path / f"clip{i}" / "0.png", i + 100)
        rows.append(
            {
                "photo": None if i % 7 == 0 else f"img/{i}.png", "voice": f"{i}.wav",
                "clip": f"clip{i}", "walk": [[float(i), 1.0], [2.0, 3.0]][: 2 - i % 2] * 2,
                "note": f"some words about row {i}", "age": i / 7, "breed": "ab"[i % 2],
                "born": f"2020-01-{i % 28 + 1:02d}", "label": ["x", "y", "x|y"][i % 3],
            }
        )  # fmt: skip
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_every_kind_keeps_the_promises_of_a_dataset(everything):
    found = prepared(everything)
    table = Table(**found.options.params())
    check_dataset(table)
    assert dict(table.task.modalities) == {
        "photo": "image", "voice": "audio", "clip": "video", "walk": "series", "note": "text",
        "table": "tabular",
    }  # fmt: skip
    assert (table.task.target, table.task.outputs) == ("multilabel", ("x", "y"))
    assert isinstance(table.load("train").columns["photo"].values, LazyValues)
    name = Component("table.mine", found.options.params())
    component, again = resolve_dataset(name, load_plugins())
    assert component.name == "table.mine" and again.version == table.version


def test_another_process_would_read_the_same(everything, monkeypatch):
    first = prepared(everything)
    monkeypatch.setenv("MMBENCH_CACHE", str(everything.parent / "elsewhere"))
    again = prepare_anew(first.options)
    assert again.version == first.version and (again.division.parts == first.division.parts).all()
    for part in PARTS:
        for m, column in first.split(part).columns.items():
            other = again.split(part).columns[m]
            if not isinstance(column.values, tuple):
                every = torch.arange(len(column.values))
                a, b = column.values[every], other.values[every]
                assert torch.equal(a.nan_to_num(), b.nan_to_num())


def test_a_recipe_survives_json(everything):
    found = prepared(everything)
    table, _ = read_table(everything)
    recipe = Recipe.from_dict(json.loads(json.dumps(found.recipe.to_dict())))
    columns = recipe.apply(table, everything.parent)
    assert list(columns) == list(found.task.modalities)
    rows = found.rows("val")
    mine, own = columns["table"].rows(torch.from_numpy(rows)), found.split("val").columns["table"]
    assert torch.equal(mine.values, own.values)


def test_a_changed_image_is_another_version(everything):
    before = prepared(everything).version
    picture(everything.parent / "img" / "5.png", 999)
    assert prepared(everything).version != before


def test_columns_named_together_are_one_modality(tmp_path):
    table = frame().assign(title=[f"Title of {i}" for i in range(60)])
    groups = (("text", ("title", "note")), ("tabular", ("age",)))
    found = prepared(saved(tmp_path, table), Asked(groups))
    assert json.loads(found.options.modalities) == {
        "title_note": {"text": ["title", "note"]},
        "table": {"number": ["age"], "category": ["breed"]},
    }
    text = found.split("train").columns["title_note"].values[0]
    assert text.startswith("Title of") and ". a note about" in text


@pytest.mark.parametrize("suffix", [".tsv", ".parquet", ".jsonl"])
def test_other_formats_say_the_same(suffix, tmp_path):
    table, path = frame(), tmp_path / f"data{suffix}"
    if suffix == ".tsv":
        table.to_csv(path, sep="\t", index=False)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    one, other = prepared(saved(tmp_path, table)), prepared(path)
    assert one.options.modalities == other.options.modalities
    assert (one.division.parts == other.division.parts).all()


# Lazy files ----------------------------------------------------------------------------------


def test_each_file_is_decoded_once_and_memory_stays_flat(tmp_path, monkeypatch):
    n, size = 60, 256
    decoded: list[Path] = []
    plain = media.decode
    monkeypatch.setattr(media, "decode", lambda p, s: (decoded.append(p), plain(p, s))[1])
    for i in range(n):
        picture(tmp_path / "img" / f"{i}.png", i)
    path = saved(tmp_path, frame().assign(photo=[f"img/{i}.png" for i in range(n)]))
    found = prepared(path, image_size=size)
    values = found.split("train").columns["photo"].values
    again = prepared(path, image_size=size)
    for rows in torch.arange(len(values)).split(8):
        values[rows]
        again.split("train").columns["photo"].values[rows]
    assert sorted(decoded) == sorted(tmp_path / "img" / f"{i}.png" for i in range(n))
    assert values[torch.tensor([3])].shape == (1, 3, size, size)


def test_decoding_leaves_nothing_in_memory(tmp_path):
    """60 pictures decode to 9 MiB; small arrays kept among them once pinned 20."""
    files = [picture(tmp_path / "img" / f"{i}.png", i, size=224) for i in range(60)]
    shape = media.Shape("image", 224)
    store(files[:8], shape)
    grown: list[float] = []
    before = psutil.Process().memory_info().rss
    store(files, shape, lambda *_: grown.append(psutil.Process().memory_info().rss - before))
    assert max(grown) < 8 * 2**20, f"{max(grown) / 2**20:.0f} MiB"


def test_reading_more_than_memory_may_hold(tmp_path):
    """8 MiB batches from 192 MiB of decoded values leave nothing behind."""
    import resource

    n, dims = 256, (3, 512, 512)
    with (tmp_path / "values").open("wb") as file:
        file.truncate(n * int(np.prod(dims)))
    values = Stored(tmp_path / "values", dims, "|u1", torch.arange(n))
    values[torch.arange(8)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for rows in torch.arange(n).split(8):
        values[rows]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024  # MiB
    assert grown < 32, f"{grown:.0f} MiB of {n * np.prod(dims) / 2**20:.0f} MiB"


# Task files and the command line ---------------------------------------------------------------


def test_a_task_file_says_it_all(tmp_path):
    saved(tmp_path, frame())
    first = prepared(tmp_path / "data.csv", split="0.6/0.2/0.2")
    path = tmp_path / "task.yaml"
    path.write_text(write_task_file("mine", first.options, path))
    name, options, asked = read_task_file(path)
    again = prepare_anew(options, asked)
    assert name == "mine" and again.options.params() == first.options.params()
    toml = tmp_path / "task.toml"
    toml.write_text('schema = 1\ndata = "data.csv"\ntarget = "label"\n[columns]\nnote = "ignored"')
    found = prepare_anew(*read_task_file(toml)[1:])
    assert list(found.task.modalities) == ["table"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: data.csv\ntarget: label", "schema None"),
        ("schema: 1\ndata: data.csv\ntaget: label", "Did you mean 'target'?"),
        ("schema: 1\ntarget: label", "lacks `data:`"),
        ("schema: 1\ndata: data.csv\nimage_size: big", "`image_size` takes a int"),
        ("schema: [", "is no YAML"),
    ],
)
def test_a_task_file_with_a_mistake(text, words, tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSpec, match=r"task\.yaml") as error:
        read_task_file(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("{2020: number}", "no column '2020'"),
        ("{age: 5}", "no kind '5'"),
        ("{age: [x]}", "no kind"),
    ],
)
def test_a_task_file_whose_columns_are_no_words(columns, words, tmp_path):
    saved(tmp_path, frame())
    path = tmp_path / "task.yaml"
    path.write_text(f"schema: 1\ndata: data.csv\ntarget: label\ncolumns: {columns}")
    with pytest.raises(InvalidParameter, match=words):
        prepare_anew(*read_task_file(path)[1:])


def command(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    from mmbench.cli import main as cli

    monkeypatch.setattr("sys.argv", ["mmbench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_inspect_prints_and_ends_with_two_where_data_must_be_mended(tmp_path, monkeypatch, capsys):
    table = with_cells("age", {3: np.inf})
    data = ["--data", str(saved(tmp_path, table)), "--target", "label"]
    assert command(["inspect", *data], monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "60 rows, 4 columns" in shown and "infinite" in shown and "a note" not in shown
    assert command(["inspect", *data, "--kind", "breed=text", "--json"], monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["columns"]["breed"]["kind"] == "text"
    data[1] = str(saved(tmp_path, table.assign(label="yes")))
    assert command(["inspect", *data], monkeypatch) == 2
    assert "'label' is 'yes' in all rows" in capsys.readouterr().err
    assert command(["inspect", "--target", "label"], monkeypatch) == 2
    assert "--target goes with --data" in capsys.readouterr().err


def test_a_table_is_trained_after_it_is_shown(tmp_path, monkeypatch, capsys):
    data = ["--data", str(saved(tmp_path, frame())), "--target", "label"]
    short = ["--set", "train.max_epochs=1", "--seeds", "1", "--device", "cpu"]
    assert command(["sanity", *data, *short], monkeypatch) in (0, 1)
    shown = capsys.readouterr().out
    trained = shown.index("table.data-label, concat, trained on permuted labels")
    assert shown.index("train 48, val 6, test 6 rows") < trained


@pytest.mark.parametrize(
    ("options", "asked", "fusion", "head"),
    [
        ({"target_kind": "retrieval"}, PAIR, "dual", "linear"),
        ({"target_kind": "sequence", "target": "title"}, NOTHING, "concat", "gru-decoder"),
    ],
)
def test_pairs_and_texts_are_learnt(options, asked, fusion, head, tmp_path):
    made = prepare_anew(TableOptions(path=str(paired(tmp_path)), **options), asked)
    encoders = {"photo": "hog", "title": "tfidf", "table": "vector"}
    spec = TrialSpec(
        Component("table.data", made.options.params()),
        {m: Component(encoders[m]) for m in made.task.modalities},
        Component(fusion),
        Component(head),
        Component(plainest(made.task, load_plugins())),
        train=TrainSpec(max_epochs=2),
    )
    result = run_trial(spec, load_plugins(), Workbench(torch.device("cpu")))
    assert result.test_scores.isfinite().all() and len(result.test_scores) == len(result.test)


def test_a_name_that_is_no_table_has_no_label() -> None:
    with pytest.raises(MMBenchError, match="needs your data"):
        resolve_dataset(Component("table"), load_plugins())
