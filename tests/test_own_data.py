"""A user's own data, as found by walking through it: nothing is lost, nothing passes in silence."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from command_line import mmbench
from PIL import Image

from mmbench import load_model
from mmbench.cli.data_options import options_of
from mmbench.errors import InvalidParameter, UnusableData
from mmbench.explain.parts import in_parts
from mmbench.tables.fields import Fields
from mmbench.tables.media import Broken, Shape, decode
from mmbench.tables.notation import notation_of
from mmbench.tables.options import NOTHING, Asked, TableOptions
from mmbench.tables.prepared import Prepared
from mmbench.tables.preparing import prepare_anew
from mmbench.tables.read import read_table
from mmbench.tables.recipe import Recipe
from mmbench.tables.samples import media_column
from mmbench.tables.store import store
from mmbench.tables.taskfile import read_task_file
from mmbench.types import MISSING


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))


def frame(n: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": draw.normal(size=n).round(4),
            "note": [f"a note about animal number {i} here" for i in range(n)],
            "label": ["yes" if i % 2 else "no" for i in range(n)],
        }
    )


def saved(folder: Path, table: pd.DataFrame, name: str = "data.csv") -> Path:
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / name, index=False)
    return folder / name


def prepared(path: Path, asked: Asked = NOTHING, **options: object) -> Prepared:
    return prepare_anew(TableOptions.of({"path": str(path), "target": "label", **options}), asked)


def said(found: Prepared) -> str:
    return "\n".join(f"{f.where}: {f.says} {f.items}" for f in found.findings)


# Task files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data.csv", r"ends in .toml, .yaml, .yml. Name one, such as data.yaml"),
        ("other.yaml", "is there already, and is no task file"),
    ],
)
def test_a_task_file_is_written_over_nothing_else(tmp_path, name, message):
    saved(tmp_path, frame())
    (tmp_path / "other.yaml").write_text("services: [web]\n")
    before = (tmp_path / name).read_bytes()
    done = mmbench(tmp_path, "inspect", "--data", "data.csv", "--target", "label", "--write", name)
    assert done.returncode == 2
    assert re.search(message, " ".join(done.stderr.split())), done.stderr
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("suffix", ["yaml", "toml"])
def test_a_written_task_file_is_read_from_anywhere(tmp_path, suffix):
    """The root is said from the file's own folder, and each suffix is what it says it is."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(60):
        pixels = np.random.default_rng(i).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")
    table = frame().assign(photo=[f"{i}.png" for i in range(60)])
    table = table.rename(columns={"age": 'age "in\\years"\x7f'})
    saved(tmp_path / "tables", table)
    told = ("--data", "tables/data.csv", "--target", "label", "--root", "photos")
    done = mmbench(tmp_path, "inspect", *told, "--write", f"tasks/task.{suffix}")
    assert done.returncode == 0, done.stderr
    again = mmbench(tmp_path / "tasks", "inspect", "--data", f"task.{suffix}", "--json")
    assert again.returncode == 0, again.stderr


NAMED = """schema: 1
data: data.csv
target: label
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_size: 0", "image_size is a number from 8 on; got 0"),
        ("audio_seconds: -1", "audio_seconds is a number from 0 on; got -1.0"),
        ("audio_seconds: .inf", "audio_seconds is a number from 0 on; got inf"),
        ("frames: 0", "frames is a number from 1 on; got 0"),
        ("modalities: {a.b: {number: [age]}}", "cannot be named 'a.b'.* Name it 'a_b'"),
        ("modalities: {keys: {number: [age]}}", "cannot be named 'keys'.* Name it 'keys_'"),
        ("modalities: {training: {number: [age]}}", "Name it 'training_'"),
        ("modalities: {'': {number: [age]}}", "cannot be named ''.* Name it 'column'"),
        ("modalities: {a: {number: []}}", "modalities is JSON such as"),
        ("target: age", "the key 'target' stands twice"),
        ("columns: {age: number, age: text}", "the key 'age' stands twice"),
        (
            "columns: {note: ignored}\nmodalities: {note: {text: [note]}}",
            "has `columns` and `modalities`",
        ),
        ("columns: {note: prose}", "there is no kind 'prose'"),
        ("split: lable", "'lable' is no column of the table"),
    ],
)
def test_faults_of_a_task_file_are_told_with_its_name(tmp_path, text, message):
    saved(tmp_path, frame())
    (tmp_path / "task.yaml").write_text(NAMED + text)
    done = mmbench(tmp_path, "inspect", "--data", "task.yaml")
    told = " ".join(done.stderr.split())
    assert done.returncode == 2, told
    assert "task.yaml" in told and re.search(message, told), told


def test_what_the_command_line_says_goes_before_a_task_file(tmp_path):
    saved(tmp_path, frame())
    (tmp_path / "task.yaml").write_text(NAMED + "columns: {note: ignored}")
    _, options, asked = options_of({"data": tmp_path / "task.yaml", "text": ["note"]})
    assert prepare_anew(options, asked).seems["note"].kind == "text"


# What is said of columns ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "label"], "'label' is the target: it cannot be an input as well, as text"),
        (["--kind", "label=text"], "'label' is the target"),
        (["--split", "group=own", "--tabular", "own"], "'own' is the groups of the split"),
        (["--text", "note", "--kind", "note=category"], "'note' is said to be text and category"),
        (["--kind", "age=number", "--kind", "age=text"], "'age' is said to be number too"),
        (["--split", "label"], "--split label: that is the target"),
        (["--split", "group=label"], "--split group=label: that is the target"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, arguments, message):
    saved(tmp_path, frame().assign(own=[f"P{i % 9}" for i in range(60)]))
    done = mmbench(tmp_path, "inspect", "--data", "data.csv", "--target", "label", *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_a_column_may_have_a_comma_in_its_name(tmp_path):
    table = frame().rename(columns={"note": "Name, Vorname"}).assign(more=frame()["note"])
    for text, read in (("Name, Vorname", ["Name, Vorname"]), ("more,age", ["more", "age"])):
        path = saved(tmp_path, table)
        _, options, asked = options_of({"data": path, "target": "label", "text": [text]})
        made = json.loads(prepare_anew(options, asked).options.modalities)
        assert {"text": read} in made.values()


def test_labels_with_commas_are_several_when_that_is_said(tmp_path):
    path = saved(tmp_path, frame().assign(label=["rot, grün", "rot", "blau"] * 20))
    assert prepared(path, target_kind="multilabel").task.outputs == ("blau", "grün", "rot")
    assert prepared(path).task.target == "classification"


def test_categories_are_the_same_whatever_blanks_are_around_them(tmp_path):
    """A blank cell is of none, and a file whose cells all are numbers says 1 for 1.0."""
    kinds = ["cat", " cat", "dog ", "dog", "1.0", "  "] * 10
    path = tmp_path / "data.jsonl"
    frame().assign(kind=kinds).to_json(path, orient="records", lines=True)
    found = prepared(path, Asked(kinds={"kind": "category"}))
    fields = found.recipe.tables["table"]
    assert fields.categories == {"kind": ("1", "cat", "dog")}
    assert "kind: 10 empty cells, which are of no category" in said(found)
    new = pd.DataFrame({"age": [0.0] * 3, "kind": [1.0, 2.0, None]})
    assert fields.vectors(new)[0][:, 1:].tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert "(50% of rows)" in fields.findings(new)[0].says


def test_a_recipe_with_blanks_in_its_categories_still_reads_them():
    known = {"kind": [" cat", "1.0", "cat"]}
    fields = Fields.from_dict({"numbers": [], "dates": {}, "categories": known})
    new = pd.DataFrame({"kind": ["cat", "1.0", 1.0]})
    assert fields.vectors(new)[0].argmax(1).tolist() == [2, 1, 1]
    assert fields.findings(new) == []


def test_classes_that_differ_in_case_alone_are_named(tmp_path):
    found = prepared(saved(tmp_path, frame().assign(label=["Yes", "yes ", " YES", "no"] * 15)))
    assert found.task.outputs == ("YES", "Yes", "no", "yes")
    assert "label: classes differ only in case or blanks: 'YES' and 'Yes' and 'yes'." in said(found)
    assert "differ only" not in said(prepared(saved(tmp_path, frame())))


AMOUNTS = [round(250 * 1.1**i, 2) for i in range(60)]
THOUSANDS = [round(1000 * amount) for amount in AMOUNTS]


def german(amount: float) -> str:
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ([german(a) for a in AMOUNTS], AMOUNTS),
        ([f"{german(a)} €" for a in AMOUNTS], AMOUNTS),
        ([f"{a:.2f}".replace(".", ",") for a in AMOUNTS], AMOUNTS),
        ([f"{a:,.2f}" for a in AMOUNTS], AMOUNTS),
        ([f"-${a:,.2f}" for a in AMOUNTS], [-a for a in AMOUNTS]),
        ([f"{a:,}".replace(",", ".") for a in THOUSANDS], THOUSANDS),
        ([f"{a:,}".replace(",", "’") for a in THOUSANDS], THOUSANDS),
        ([f"{i} %" for i in range(60)], range(60)),
        ([f"EUR {a:,.2f}" for a in AMOUNTS], AMOUNTS),
        ([f"{german(a)} CHF" for a in AMOUNTS], AMOUNTS),
        ([f"{'' if i % 3 else '< '}{german(a)}" for i, a in enumerate(AMOUNTS)], AMOUNTS),
        (["1000000000000000000", *map(str, range(59))], [1e18, *range(59)]),
    ],
)
def test_numbers_as_people_write_them(tmp_path, written, meant):
    """In the column, in the target, in a new row; a word among them is none."""
    table = frame().assign(amount=written)
    found = prepared(saved(tmp_path, table))
    fields = found.recipe.tables["table"]
    assert fields.numbers == ("age", "amount")
    recipe = Recipe.from_dict(json.loads(json.dumps(found.recipe.to_dict())))
    values = recipe.apply(table, tmp_path)["table"].values[:, 1].double().numpy()
    offset, scale = fields.scales.get("amount", (0, 1))
    assert values * scale + offset == pytest.approx(list(meant), rel=1e-6, abs=1e-3)
    assert ("were read as such" in said(found)) == bool(found.recipe.notations)
    target = prepared(saved(tmp_path, table), target="amount")
    assert target.task.target == "regression"
    mean, std = target.scale
    assert target.target.numpy() * std + mean == pytest.approx(list(meant), rel=1e-4, abs=std / 1e4)
    table.loc[3, "amount"] = "NA"
    text = said(prepared(saved(tmp_path, table)))
    assert "amount: 1 cell is 'NA' and counts as empty: row 4" in text


MIXED = [f"${i}.5" if i % 2 else f"{i}.5 €" for i in range(60)]


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (["<30", ">30", "30"] * 20, "category", ""),
        (["<0.5" if i % 3 == 0 else f"{i}.5" for i in range(60)], "number",
         "x: 20 cells with a limit, such as '<0.5', read as the number itself: rows 1, 4"),
        (["<none", "< 2", *map(str, range(58))], "number",
         "x: 1 cell with a limit, such as '< 2', read as the number itself: row 2"),
        ([f"{i % 20 + 60} µmol/l" for i in range(60)], "category",
         "x: numbers with words beside them, such as '60 µmol/l', read as category"),
        ([f"{i % 12}:{i % 5}5" for i in range(60)], "text",
         "x: several numbers in a cell, such as '0:05', read as text. Give each a column"),
        ([f"{i % 9 + 110}/80" for i in range(60)], "category", "x: several numbers in a cell"),
        ([f"M{i % 20} x" for i in range(60)], "category", ""),
        (MIXED, "number", "x: signs beside the numbers differ ($, €): the numbers are taken"),
        (["0.5" if i % 2 else "12%" for i in range(60)], "number", "signs beside the numbers"),
        ([-999 if i in (3, 8) else 130 + i % 20 for i in range(60)], "number",
         "x: 2 numbers far from the others, such as -999 (half of all are from"),
        ([1.2**i for i in range(60)], "number", ""),
        ([0, 1] * 29 + [0, 1000], "number", "x: 1 number far from the others, such as 1000"),
        ([0] * 50 + [*range(10)], "number", ""),
        (["2024-02-09 22:46 LMT", *["2024-02-09 22:46Z"] * 30, *["2024-02-10"] * 29], "date",
         "x: 1 cell is no date and counts as empty: row 1, such as '2024-02-09 22:46 LMT'"),
        (["yes", "no", "Yes"] * 20, "category", "x: categories differ only in case or blanks"),
        ([f"docs/{i}.pdf" for i in range(60)], "ignored", "x: not used: files that end in .pdf"),
        ([f"SKU-{i:04d}" for i in range(60)], "ignored", "x: not used: a name of its own"),
    ],
)  # fmt: skip
def test_what_a_column_holds_is_said(tmp_path, cells, kind, words):
    found = prepared(saved(tmp_path, frame().assign(x=cells)))
    assert found.seems["x"].kind == kind
    told = [line for line in said(found).splitlines() if line.startswith("x: ")]
    assert words in "\n".join(told) and (words or not told)
    assert not any(finding.says.endswith(".") for finding in found.findings)


def test_a_target_far_from_the_others_is_named(tmp_path):
    target = [99_999 if i == 7 else 2.5 * i for i in range(60)]
    text = said(prepared(saved(tmp_path, frame().assign(label=target))))
    assert "label: 1 number far from the others, such as 99999" in text and "row 8" in text


def test_a_duration_is_its_seconds(tmp_path):
    seconds = np.arange(60) * 90.5
    table = frame().assign(took=pd.to_timedelta(seconds, unit="s"))
    table.to_parquet(tmp_path / "data.parquet")
    found = prepared(tmp_path / "data.parquet")
    new = found.recipe.apply(table, tmp_path)["table"].values[:, 1]
    assert found.recipe.tables["table"].numbers == ("age", "took")
    assert new.tolist() == pytest.approx(seconds)
    assert prepared(tmp_path / "data.parquet", target="took").scale[0] > 1000


def test_a_line_for_excel_names_the_separator(tmp_path):
    (tmp_path / "data.csv").write_text("sep=;\r\na;b\r\n1,5;x\r\n2;y\r\n")
    table, _ = read_table(tmp_path / "data.csv")
    assert table["a"].tolist() == [1.5, 2] and list(table) == ["a", "b"]
    (tmp_path / "data.csv").write_text("sep=|\na|b\n1|x|z\n")
    with pytest.raises(UnusableData, match="line 3 has 3 cells"):
        read_table(tmp_path / "data.csv")


@pytest.mark.parametrize(
    ("cells", "of_commas", "notation"),
    [
        (["1.234", "25.812"], False, None),
        (["1.234", "25.812"], True, "decimal comma"),
        (["1.234", "25.812", "1.200.500"], False, "decimal comma"),
        (["1.234", "2.5"], True, None),
        (["1,234", "25,812"], False, "decimal point"),
        (["0,234", "25,812"], False, "decimal comma"),
        (["1.234 €", "25.812 €"], False, "decimal point"),
        (["01067", "1,5"], False, None),
        (["1", "2", "NA"], True, None),
        (["3,4 km", "5,1 km"], True, None),
        (["10.0.0.1", "192.168.0.12"], False, None),
        (["03.04.2020", "13.04.2020"], True, None),
    ],
)
def test_a_whole_column_tells_how_its_numbers_are_written(cells, of_commas, notation):
    assert notation_of(pd.Series(cells), decimal_commas=of_commas) == notation


def test_a_file_of_decimal_commas_tells_what_a_dot_is(tmp_path):
    table = frame().assign(people=[f"{i + 1}.{i:03d}" for i in range(60)])
    table["homes"] = table["people"]
    path = tmp_path / "data.csv"
    table.to_csv(path, sep=";", decimal=",", index=False)
    recipe = prepared(path).recipe
    assert recipe.notations == dict.fromkeys(["people", "homes"], "decimal comma")
    table[["people", "homes"]].to_csv(path, sep=";", index=False)
    new = read_table(path, recipe.notations)[0].assign(age=0.0, note="")
    assert recipe.apply(new, tmp_path)["table"].values[4, 1] == 5004


def test_new_rows_are_read_in_the_notation_that_was_learnt_or_in_their_own(tmp_path):
    """Learnt: of 1.234 with commas elsewhere. Their own: commas beside a word, of plain columns."""
    table = frame().drop(columns="note").assign(people=[f"{i + 1}.{i:03d}" for i in range(60)])
    table.to_csv(tmp_path / "data.csv", sep=";", decimal=",", index=False)
    told = ("--data", "data.csv", "--target", "label", "--out", "runs", "--fusion", "concat")
    done = mmbench(tmp_path, "run", *told, "--set", "train.max_epochs=1", "--no-diagnoses")
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("runs/single/*/model")
    (tmp_path / "new.csv").write_text("people;age\n1.234;0,5\n5.678;NA\n")
    model = load_model(folder)
    new, found = model.read_samples(tmp_path / "new.csv")
    assert "age: numbers with a decimal comma" in " ".join(f"{f.where}: {f.says}" for f in found)
    (left,) = model.findings(new)
    assert left.says == "1 cell is 'NA' and counts as empty: row 2"
    said = model.predict({"people": 1234, "age": 0.5}).probabilities
    assert model.predict(new.iloc[0].to_dict()).probabilities == said


def test_what_is_said_to_be_no_number_stays_as_it_is_written(tmp_path):
    path = saved(tmp_path, frame().assign(size=["1,5", "2,5"] * 30, tags=["1,2", "2,3"] * 30))
    found = prepared(path, Asked(kinds={"size": "category", "tags": "ignored"}))
    assert found.recipe.tables["table"].categories == {"size": ("1,5", "2,5")}
    again = prepare_anew(found.options)
    assert again.recipe == found.recipe and again.recipe.notations == {}
    labels = prepared(path, target="tags", target_kind="multilabel").task.outputs
    assert labels == ("1", "2", "3")


def test_lists_in_cells_are_labels(tmp_path):
    table = frame().assign(label=['["a, c", "b"]', "['b']", "[]"] * 20)
    found = prepared(saved(tmp_path, table))
    assert found.task.target == "multilabel" and found.task.outputs == ("a, c", "b")
    assert found.target[:3].tolist() == [[1, 1], [0, 1], [0, 0]]


def test_a_label_of_a_list_may_hold_the_separator(tmp_path):
    rows = [{"age": i, "label": ["a|c", "b"] if i % 2 else ["b"]} for i in range(60)]
    rows[3]["label"], rows[5]["label"] = [], None
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = prepared(tmp_path / "data.jsonl")
    assert found.task.outputs == ("a|c", "b")
    assert "label: 2 rows without a label, learnt as having none of them: rows 4, 6" in said(found)


@pytest.mark.parametrize(
    ("labels", "several"),
    [
        (["a", "a, b", "b, c", "c"], True),
        (["Paris, France", "Lyon, France", "Rome, Italy"], False),
        (["a", "b"], False),
    ],
)
def test_classes_that_may_be_lists_of_labels_are_named(tmp_path, labels, several):
    found = prepared(saved(tmp_path, frame().assign(label=(labels * 30)[:60])))
    assert found.task.target == "classification"
    assert ("If each is one label: --target-kind multilabel" in said(found)) == several


def test_few_rows_with_several_labels_are_named(tmp_path):
    labels = ["home; garden" if i == 50 else ["toys", "home"][i % 2] for i in range(60)]
    text = said(prepared(saved(tmp_path, frame().assign(label=labels))))
    assert "label: only row 51 of 60 name several labels, such as 'home', 'garden'" in text
    labels[50] = "books; garden"
    found = prepared(saved(tmp_path, frame().assign(label=labels)))
    assert found.task.outputs == ("books; garden", "home", "toys")


# Files ------------------------------------------------------------------------------------------


def blobs(seed: int, size: int = 24) -> np.ndarray:
    """(size, size) from 0 to 1: no two seeds are near-copies."""
    rough = np.random.default_rng(seed).integers(0, 255, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((size, size))) / 255


def with_images(folder: Path, dtype: str, greatest: float, suffix: str = "png") -> Path:
    table = frame().assign(photo=[f"{i}.{suffix}" for i in range(60)])
    for i, name in enumerate(table["photo"]):
        Image.fromarray((blobs(i) * greatest).astype(dtype)).save(folder / name)
    return saved(folder, table)


def pixels(found: Prepared) -> np.ndarray:
    """(60, 3, 64, 64) in the order of the table."""
    files, decoded = found.stores["photo"]
    return decoded.values[torch.from_numpy(files.index)].numpy()


@pytest.mark.parametrize(
    ("dtype", "greatest", "suffix"),
    [
        ("uint16", 65535, "png"),
        ("uint16", 65535, "tif"),
        ("int32", 9e6, "tif"),
        ("float32", 3, "tif"),
    ],
)
def test_images_of_more_than_8_bits_are_seen(tmp_path, dtype, greatest, suffix):
    """Pillow clips them at 255: all that was brighter became white."""
    path = with_images(tmp_path, dtype, greatest, suffix)
    deep = prepared(path)
    (tmp_path / "plain").mkdir()
    plain = prepared(with_images(tmp_path / "plain", "uint8", 255))
    assert np.abs(pixels(deep)[:, :, 8:-8].std((1, 2, 3)) > 10).all()
    if dtype == "uint16":  # of the same range
        assert np.abs(pixels(deep).astype(int) - pixels(plain)).max() <= 2
    assert ("60 images of 32-bit numbers, each stretched" in said(deep)) == (dtype != "uint16")


def test_what_is_not_read_of_an_animation_is_said(tmp_path):
    path = with_images(tmp_path, "uint8", 255, "gif")
    images = sorted(tmp_path.rglob("*.gif"))[:2]
    for image in images:
        with Image.open(image) as first:
            first.save(image, save_all=True, append_images=[first.rotate(90)])
    assert "2 files with several pictures, of which the first is read. With --video photo" in said(
        prepared(path)
    )


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("group=owner", r"has 1 group of rows, .*; 60 rows are of one file of 'photo'"),
        (
            "part",
            r"has no row for train and val; \d+ rows of an earlier part are of one file of 'photo'",
        ),
    ],
)
def test_rows_of_one_photo_leave_no_part_empty_without_a_reason(split, words, tmp_path):
    """Photos that owners share tie the owners; a split of ones own may cross photos."""
    table = pd.read_csv(with_images(tmp_path, "uint8", 255))
    table["photo"] = [f"{i // 3}.png" for i in range(60)]
    table["owner"] = [f"owner {i % 20}" for i in range(60)]
    table["part"] = [("train", "val", "test")[i % 3] for i in range(60)]
    with pytest.raises(UnusableData, match=words):
        prepared(saved(tmp_path, table), split=split)


def test_lists_of_zeros_and_ones_name_no_labels(tmp_path):
    table = frame().assign(label=["[1, 0, 1]" if i % 2 else "[0, 1, 0]" for i in range(60)])
    with pytest.raises(UnusableData, match=r"lists of 0 and 1, .* Write the names"):
        prepared(saved(tmp_path, table))
    table["label"] = ["[0]", "[1]", "[0, 1]"] * 20
    assert prepared(saved(tmp_path, table)).task.outputs == ("0", "1"), "names of two labels"


def test_a_target_of_several_columns_is_told_how_to_write_it(tmp_path):
    with pytest.raises(InvalidParameter, match=r"one column.* as in age\|label, .*age=ignored"):
        prepared(saved(tmp_path, frame()), target="age,label")
    both = frame().rename(columns={"label": "age,label"})
    assert prepared(saved(tmp_path, both), target="age,label").task.outputs == ("no", "yes")


@pytest.mark.parametrize(("first", "told"), [(1, True), (0, False)])
def test_numbers_that_may_have_an_order_are_named(first, told, tmp_path):
    table = frame().assign(label=[first + i % 5 for i in range(60)])
    found = said(prepared(saved(tmp_path, table)))
    assert ("from 1 to 5 are read as classes, without their order" in found) == told


def test_images_of_one_shade_are_named(tmp_path):
    """12 bits in a file of 16 leave next to nothing."""
    assert "photo: 60 of 60 images show no pattern, nearly one shade each" in said(
        prepared(with_images(tmp_path, "uint16", 400), modalities='{"photo": {"image": ["photo"]}}')
    )
    assert "one shade" not in said(prepared(with_images(tmp_path, "uint16", 40_000)))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (r"photos\{}.png", r"none of 60 files exists, and paths have backslashes"),
        ("{}.png;{}b.png", r"none of 60 files exists, and cells name several, such as '0.png;0b"),
        ('["{}.png", "{}b.png"]', r"cells name several, .* Give each a column of its own"),
        ("https://x.org/{}.png?w=9", r"is an address; .* --kind photo=ignored"),
    ],
)
def test_paths_that_name_no_file_here_are_told_as_such(cell, words, tmp_path):
    table = frame().assign(photo=[cell.format(i, i) for i in range(60)])
    with pytest.raises(UnusableData, match=f"'photo'.*{words}"):
        prepared(saved(tmp_path, table))


def test_files_whose_names_tell_no_kind_are_no_texts(tmp_path):
    table = with_images(tmp_path, "uint8", 255)
    cells = pd.read_csv(table)
    for name in cells["photo"]:
        (tmp_path / name).rename((tmp_path / name).with_suffix(".scan"))
    cells["photo"] = cells["photo"].str.replace(".png", ".scan")
    path = saved(tmp_path, cells)
    assert "photo: not used: files of a kind that their names do not tell; say it" in said(
        prepared(path)
    )
    found = prepared(path, Asked((("image", ("photo",)),)))
    assert found.task.modalities["photo"] == "image"
    for name in cells["photo"][:30]:
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
    assert "photo: not used: files of a kind" in said(prepared(path)), (
        "folders of frames among them"
    )


def test_a_path_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cells = pd.read_csv(with_images(tmp_path, "uint8", 255))
    path = saved(tmp_path / "elsewhere", cells.assign(photo="~/" + cells["photo"]))
    found = prepared(path)
    assert not found.stores["photo"][1].broken
    new = found.recipe.apply(pd.read_csv(path).head(2), path.parent)
    assert torch.equal(new["photo"].values, found.stores["photo"][1].values[torch.arange(2)])
    task = tmp_path / "elsewhere" / "task.yaml"
    task.write_text("schema: 1\ndata: ~/elsewhere/data.csv\nroot: ~/here\ntarget: label\n")
    _, options, _ = read_task_file(task)
    assert (options.path, options.root) == (str(path), str(tmp_path / "here"))


def test_transparent_grey_is_white(tmp_path):
    grey = Image.fromarray(np.zeros((8, 8), dtype=np.uint8))
    grey.save(tmp_path / "a.png", transparency=0)
    assert (decode(tmp_path / "a.png", Shape("image", 8)).values == 255).all()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no image", r"^no image that Pillow can read$"),
        (b"", r"^the file has 0 bytes$"),
        (b"<!DOCTYPE html><p>404", r"^a page of the web, no picture$"),
        (b"version https://git-lfs.github.com/spec/v1", r"Git LFS; .* git lfs pull$"),
        (b"\n<svg/>", r"^a drawing \(SVG\); write it as PNG$"),
        (b"\0\0\0\x18ftypheic", r"^a picture as HEIC; write it as JPEG$"),
    ],
)
def test_a_broken_image_is_told_without_an_address(content, why, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Broken, match=why):
        decode(tmp_path / "a.png", Shape("image", 8))


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(Broken, match=r"^it is a folder; those of frames are read as videos$"):
        decode(tmp_path, Shape("image", 8))


def test_a_huge_picture_is_read_in_silence_or_told(tmp_path, monkeypatch):
    """Pillow's warning would stand among findings, and name no file."""
    Image.new("L", (60, 50)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000)
    assert decode(tmp_path / "a.png", Shape("image", 8)).values.shape == (3, 8, 8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    with pytest.raises(Broken, match=r"^it has more than 2,000 pixels; write it smaller$"):
        decode(tmp_path / "a.png", Shape("image", 8))


@pytest.mark.parametrize("channels", ["one", "columns", "rows"])
@pytest.mark.parametrize("kind", ["float32", "int16", "int32"])
def test_a_sound_in_memory_is_heard_as_its_file_is(tmp_path, kind, channels):
    wave = 0.3 * np.sin(np.arange(400) / 5)
    heard = wave if channels == "one" else np.stack([wave, 0.5 * wave], 1)
    if kind != "float32":
        heard = (heard * np.iinfo(kind).max).round()
    heard = heard.astype(kind)
    soundfile.write(tmp_path / "a.wav", heard, 16_000, "FLOAT" if kind == "float32" else "PCM_32")
    given = heard.T if channels == "rows" else heard
    values = media_column(["a.wav", given], Shape("audio", 500), tmp_path, "clip").values
    assert values[0].abs().max() > 0.1 and torch.allclose(values[0], values[1], atol=1e-4)


@pytest.mark.parametrize(
    ("media", "given", "why"),
    [
        ("audio", np.zeros(0), "a sound is an array of samples at 16,000 Hz"),
        ("audio", np.full(9, np.nan), "numbers within ±1"),
        ("audio", np.full(9, 9e3), r"an array \(9,\) of float64 cannot be read"),
        ("audio", 5, "a sound is an array"),
        ("audio", ["a"], "could not convert"),
        ("image", np.zeros((9, 9, 5), np.uint8), r"is \(height, width\) or"),
        ("image", np.zeros((0, 0, 3), np.uint8), r"is \(height, width\) or"),
        ("image", np.zeros((2, 9, 9, 3), np.uint8), r"is \(height, width\) or"),
        ("image", np.zeros((9, 9, 3)), "whole numbers from 0 to 255"),
    ],
)
def test_an_array_that_is_none_is_refused_in_words(tmp_path, media, given, why):
    with pytest.raises(UnusableData, match=why):
        media_column([given], Shape(media, 8), tmp_path, "column")


def test_channels_of_a_picture_may_come_first_and_a_row_of_pixels_is_a_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 9, 4), dtype=np.uint8)
    given = [pixels, pixels.transpose(2, 0, 1), Image.fromarray(pixels)]
    first, *others = media_column(given, Shape("image", 8), tmp_path, "photo").values
    assert all(torch.equal(first, other) for other in others)


def test_a_picture_is_turned_upright_as_its_file_is(tmp_path):
    image = Image.fromarray((blobs(0) * 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "a.png", exif=exif)
    shape = Shape("image", 24)
    by_path = media_column(["a.png"], shape, tmp_path, "photo").values
    with Image.open(tmp_path / "a.png") as given:
        assert torch.equal(media_column([given], shape, tmp_path, "photo").values, by_path)
    assert not torch.equal(media_column([image], shape, tmp_path, "photo").values, by_path)


def test_rows_that_name_one_file_share_its_values(tmp_path):
    picture = Image.fromarray((blobs(0) * 255).astype(np.uint8))
    picture.save(tmp_path / "a.png")
    cells = ["a.png", "", "a.png", picture, "gone.png", "gone.png"]
    broken: list[int] = []
    column = media_column(
        cells, Shape("image", 8), tmp_path, "photo", lambda _, row, *__: broken.append(row)
    )
    assert column.index.tolist() == [0, MISSING, 0, 1, MISSING, MISSING] and broken == [4, 5]
    assert column.values.shape == (2, 3, 8, 8)


def test_frames_come_in_the_order_they_are_counted(tmp_path):
    for i in range(11):
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(tmp_path / f"frame{i}.png")
    frames = decode(tmp_path, Shape("video", 8, 11)).values
    assert frames[:, 0, 0, 0].tolist() == [10 * i for i in range(11)]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_is_a_video(ending, tmp_path):
    shades = [Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)) for i in range(11)]
    path = tmp_path / f"a.{ending}"
    shades[0].save(path, save_all=True, append_images=shades[1:], lossless=True)
    video, still = decode(path, Shape("video", 8, 3)), decode(path, Shape("image", 8))
    assert video.values[:, 0, 0, 0].tolist() == [0, 100, 200]
    assert still.remark == "animated" and not video.remark


@pytest.mark.parametrize(
    ("name", "why"),
    [("a.mp4", "films are not decoded; write each as a folder of its frames"),
     ("b", "1.png: no image that Pillow can read"), ("c.webm", "it does not exist")],
)  # fmt: skip
def test_what_is_no_video_says_why(name, why, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"ftyp")
    (tmp_path / "b").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "b" / "0.png")
    (tmp_path / "b" / "1.png").write_bytes(b"no picture")
    with pytest.raises(Broken, match=why):
        decode(tmp_path / name, Shape("video", 8, 4))


def test_a_frame_that_is_written_over_is_read_again(tmp_path):
    """Its folder's own time is as it was."""
    clip = tmp_path / "clip"
    clip.mkdir()
    shape, seen = Shape("video", 8, 1), []
    for shade in (10, 200):
        Image.fromarray(np.full((8, 8), shade, np.uint8)).save(clip / "0.bmp")
        seen.append(store([clip], shape).values[torch.tensor([0])].unique().tolist())
    assert seen == [[10], [200]]


@pytest.mark.parametrize(
    ("name", "why"),
    [("a" * 300 + ".png", "File name too long"), ("a\0b.png", "embedded null byte")],
    ids=["too long", "with a NUL"],
)
def test_a_path_that_cannot_be_is_a_broken_file(name, why, tmp_path):
    """It stopped everything, with the advice to free some space."""
    path = with_images(tmp_path, "uint8", 255)
    saved(tmp_path, pd.read_csv(path).replace({"photo": {"7.png": name}}))
    found = prepared(path)
    assert "1 file is broken, so row 8 misses" in said(found) and why in said(found)
    shape = Shape("image", 8)
    assert list(store([Path(name), tmp_path / "1.png"], shape).broken) == [0]


def test_a_hidden_file_is_no_frame(tmp_path):
    """macOS leaves a ``._0.bmp`` beside ``0.bmp`` on other disks."""
    Image.fromarray(np.full((8, 8), 10, np.uint8)).save(tmp_path / "0.bmp")
    shape, seen = Shape("video", 8, 2), []
    for _ in range(2):
        found = store([tmp_path], shape)
        seen.append((found.digests, found.values[torch.tensor([0])].unique().tolist()))
        (tmp_path / "._0.bmp").write_bytes(b"\0\5\x16\7")
    assert seen[0] == seen[1] and seen[0][1] == [10]


# Sequences and sounds ---------------------------------------------------------------------------


def test_sequences_that_are_no_such_and_long_ones_are_named(tmp_path):
    cells = [json.dumps([i / 7, 1.5, 2.0]) for i in range(60)]
    cells[7], cells[8], cells[9] = "broken", "[1,2", "[0.5]"
    cells[3] = json.dumps([0.25] * 1500)
    found = prepared(saved(tmp_path, frame().assign(series=cells)))
    assert "series: no sequence of numbers in 2 cells, taken as empty: rows 8, 9" in said(found)
    assert "series: 1 row cut to the first 1,024 steps: row 4" in said(found)
    index = found.columns["series"].index
    assert index is not None and (index == MISSING).nonzero().flatten().tolist() == [7, 8]


@pytest.mark.parametrize("in_cells", [True, False])
def test_series_with_channels_first_are_turned_where_lengths_tell_so(tmp_path, in_cells):
    walks = [np.random.default_rng(i).random((2, 9 + i % 4)).round(3) for i in range(60)]
    cells = [json.dumps(walk.tolist()) for walk in walks]
    if not in_cells:
        cells = [f"{i}.npy" for i in range(60)]
        for cell, walk in zip(cells, walks, strict=True):
            np.save(tmp_path / cell, walk)
    table = frame().assign(walk=cells)
    found = prepared(saved(tmp_path, table))
    assert "walk: each has 2 rows of different lengths, read as channels" in said(found)
    assert "broken" not in said(found) and "cut" not in said(found)
    recipe = Recipe.from_dict(json.loads(json.dumps(found.recipe.to_dict())))
    (new,) = recipe.apply(table.iloc[[5]], tmp_path)["walk"].values
    assert new.shape == (12, 2) and np.allclose(new[:10], walks[5].T)


def test_series_of_more_channels_than_steps_are_named(tmp_path):
    for i in range(60):
        np.save(tmp_path / f"{i}.npy", np.random.default_rng(i).random((2, 9)))
    text = said(prepared(saved(tmp_path, frame().assign(walk=[f"{i}.npy" for i in range(60)]))))
    assert "walk: each has at most 2 steps of 9 channels" in text and "the other way round" in text


@pytest.mark.parametrize("steps", [[], [np.nan, np.nan], None])
def test_a_file_without_a_number_is_broken(steps, tmp_path):
    table = frame().assign(walk=[f"{i}.npy" for i in range(60)])
    for i in range(60):
        np.save(tmp_path / f"{i}.npy", np.random.default_rng(i).random(9))
    if steps is None:
        (tmp_path / "7.npy").write_bytes(b"")
    else:
        np.save(tmp_path / "7.npy", steps)
    found = prepared(saved(tmp_path, table))
    assert "walk: 1 file is broken, so row 8 misses this modality" in said(found)


def test_an_array_without_a_number_is_no_series(tmp_path):
    with pytest.raises(UnusableData, match="it holds no number"):
        media_column([[np.nan, np.nan]], Shape("series", 9, 1), tmp_path, "walk")


@pytest.mark.parametrize(("seconds", "says"), [(0.0, "10 seconds"), (0.5, "0.5 seconds")])
def test_sounds_that_are_cut_are_named(tmp_path, seconds, says):
    rate, table = 8000, frame().assign(sound=[f"{i}.wav" for i in range(60)])
    for i, name in enumerate(table["sound"]):
        length = 12 * rate if i == 4 else rate // 2
        noise = np.random.default_rng(i).normal(size=length).clip(-1, 1)
        soundfile.write(tmp_path / name, noise.astype(np.float32), rate)
    found = prepared(saved(tmp_path, table), audio_seconds=seconds)
    assert f"sound: 1 row cut to the first {says} (--audio-seconds sets how many): row 5" in said(
        found
    )


# Parts ------------------------------------------------------------------------------------------


def test_copies_that_differ_by_blanks_stay_together(tmp_path):
    notes = [f"a note about  animal {i // 2}" + "  " * (i % 2) for i in range(60)]
    table = frame()[["label"]].assign(note=notes)
    found = prepared(saved(tmp_path, table), modalities='{"note": {"text": ["note"]}}')
    assert "60 rows are equal in all columns; such rows were kept in one part" in said(found)
    assert (found.division.parts[::2] == found.division.parts[1::2]).all()


@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_three_groups_are_enough_to_split_by(tmp_path, n):
    table = frame().assign(owner=[f"P{i % n}" for i in range(60)])
    found = prepared(saved(tmp_path, table), split="group=owner")
    assert {len(found.rows(part)) // (60 // n) for part in ("val", "test")} == {1}
    assert len(found.rows("train")) == 60 - 2 * (60 // n)


def test_a_class_of_one_row_is_trained_on_though_a_part_is_filled(tmp_path):
    table = frame(8).assign(label=["a"] * 4 + ["b"] * 3 + ["c"])
    found = prepared(saved(tmp_path, table), target_kind="classification")
    assert found.division.parts[7] == "train"
    assert all(len(found.rows(part)) for part in ("train", "val", "test"))


def test_groups_are_the_same_whatever_blanks_are_around_them(tmp_path):
    owners = [f"o{i // 6}{' ' * (i % 2)}" for i in range(60)]
    found = prepared(saved(tmp_path, frame().assign(owner=owners)), split="group=owner")
    parts = found.division.parts
    assert all(len(set(parts[i : i + 6])) == 1 for i in range(0, 60, 6))


def test_rows_without_a_group_are_named(tmp_path):
    owners = [f"o{i // 6}" if i != 7 else " " for i in range(60)]
    text = said(prepared(saved(tmp_path, frame().assign(owner=owners)), split="group=owner"))
    assert "owner: 1 row without a group, each taken as one by itself: row 8" in text


def test_a_target_of_many_classes_is_looked_at_without_a_warning(tmp_path):
    labels = [f"c{i // 2 if i < 20 else i}" for i in range(60)]
    text = said(prepared(saved(tmp_path, frame().assign(label=labels))))
    assert "40 of 50 classes have one row only" in text
    assert "'c20'" not in text.partition("no test row has")[2], "that is said already"


@pytest.mark.parametrize("cell", ["rare", "rare|yes"])
def test_classes_and_labels_that_a_part_lacks_are_named(tmp_path, cell):
    table = frame().assign(part=["train"] * 40 + ["val"] * 10 + ["test"] * 10)
    several = "|" in cell
    table.loc[[0, 1], "label"] = cell
    kind = "multilabel" if several else "classification"
    text = said(prepared(saved(tmp_path, table), split="part", target_kind=kind))
    for part in ("validation", "test"):
        assert f"label: no {part} row has 'rare': scores on it say nothing of it" in text
    table.loc[[0, 1], "label"], table.loc[55, "label"] = "yes", cell
    text = said(prepared(saved(tmp_path, table), split="part", target_kind=kind))
    assert "label: no training row has 'rare': it cannot be learnt" in text


def test_two_groups_are_too_few(tmp_path):
    table = frame().assign(owner=[f"P{i % 2}" for i in range(60)])
    with pytest.raises(UnusableData, match=r"has 2 groups .* At least three groups are needed"):
        prepared(saved(tmp_path, table), split="group=owner")


IN_PARTS = ["train"] * 40 + ["val"] * 10 + ["test"] * 10


def test_what_no_training_row_has_a_value_of_is_not_used(tmp_path):
    late = [None] * 40 + list(range(20))
    table = frame().assign(part=IN_PARTS, number=late, early=[*range(40), *[None] * 20])
    table["size"] = ["" if i < 40 else "sm"[i % 2] for i in range(60)]
    table["more"] = [" " if i < 40 else f"a text about animal number {i}" for i in range(60)]
    asked = Asked((("text", ("note", "more")),))
    for given, made in ((asked, {"note_more": {"text": ["note"]}}), (NOTHING, {})):
        found = prepared(saved(tmp_path, table), given, split="part")
        text = said(found)
        for name in ("number", "size", "more"):
            assert f"{name}: no value in any training row: it is not used" in text
            assert f"{name}: 40 empty cells" not in text
        assert "early: no value in any validation or test row" in text
        assert found.recipe.tables["table"].columns == ("age", "early")
        assert set(found.recipe.texts) | {"table"} == set(found.task.modalities)
        assert set(found.task.modalities) == {"table", *(made or ["note"])}


def test_parts_that_share_no_column_with_training_rows_are_refused(tmp_path):
    table = frame().drop(columns="note").assign(part=IN_PARTS, late=[None] * 40 + [*range(20)])
    table.loc[50:, "age"] = np.nan
    with pytest.raises(UnusableData, match="No test row has a value of what training rows have"):
        prepared(saved(tmp_path, table), split="part")
    table.loc[50:54, "age"] = 1.5
    found = prepared(saved(tmp_path, table), split="part")
    assert "table: 5 rows without a value in any column left out: rows 56, 57" in said(found)
    assert len(found.rows("test")) == 5


# Afterwards -------------------------------------------------------------------------------------


def test_parts_of_a_table_are_named_after_its_columns(tmp_path):
    table = frame().assign(born=pd.date_range("2024-01-01", periods=60), size=["s", "m"] * 30)
    path = saved(tmp_path, table)
    made = prepared(path, Asked(kinds={"born": "date"})).recipe.tables["table"]
    columns = made.entries
    values = torch.arange(len(columns), dtype=torch.float32)
    assert columns == ["age", *["born"] * 5, *["size"] * 3]
    found = {part.label: part.value for part in in_parts("tabular", values, columns).parts}
    assert found == {"age": 0.0, "born": 15.0, "size": 21.0}


def test_an_explanation_of_a_table_names_its_columns(tmp_path):
    path = saved(tmp_path, frame(30))
    train = ("--set", "train.max_epochs=1", "--no-diagnoses", "--out", "runs")
    told = ("--data", str(path), "--target", "label", "--kind", "note=ignored")
    done = mmbench(tmp_path, "run", *told, "--fusion", "concat", *train)
    assert done.returncode == 0, done.stderr
    (model,) = tmp_path.glob("runs/single/*/model")
    done = mmbench(tmp_path, "explain", str(model), "--sample", "0")
    assert done.returncode == 0, done.stderr
    assert "age" in done.stdout and "field" not in done.stdout


def test_an_explanation_of_a_number_is_in_the_units_of_the_target(tmp_path):
    table = frame(30).drop(columns="note").assign(label=[1000.0 + 7 * i for i in range(30)])
    path = saved(tmp_path, table)
    train = ("--set", "train.max_epochs=1", "--no-diagnoses", "--out", "runs")
    done = mmbench(tmp_path, "run", "--data", str(path), "--target", "label", *train)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("runs/single/*/model")
    done = mmbench(tmp_path, "explain", str(folder), "--sample", "0", "--json")
    assert done.returncode == 0, done.stderr
    told, row = json.loads(done.stdout), int(prepared(path).rows("test")[0])
    assert float(told["truth"]) == pytest.approx(table["label"][row])
    (said_of,) = load_model(folder).predict_all([table.iloc[row].drop("label").to_dict()])
    assert told["answer"] == pytest.approx(said_of.value, rel=1e-4)
    assert float(told["predicted"]) == pytest.approx(said_of.value, rel=1e-4)
    shares = sum(told["shapley"].values())
    assert told["no_modality"] + shares == pytest.approx(told["answer"], rel=1e-4)
