"""A user's own data, as found by walking through it: nothing is lost, nothing passes in silence."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import mmbench
from PIL import Image

from mmbench.tables.options import NOTHING, Asked, TableOptions
from mmbench.tables.prepared import Prepared, prepare_anew


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
