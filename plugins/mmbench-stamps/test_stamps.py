"""On a small tree of the same layout: what is read, what is missing, what is never split."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmbench_stamps import SHARES, SparseStamps, Stamps, files
from mmbench_stamps.decoding import RATE, SECONDS, clip, picture
from mmbench_stamps.files import FOLDERS, base_name, find_root, groups, read_texts, stamps

from mmbench.api import MISSING, DataUnavailable
from mmbench.testing import check_dataset, check_installed

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="2cm" height="1cm" viewBox="0 0 20 10">'
    '<rect width="20" height="10" fill="#ff0000"/></svg>'
)
PER_FOLDER = 6
GIVEN = os.environ.get("MMBENCH_STAMPS")


def write_picture(file: Path, shade: int, size: tuple[int, int] = (20, 40)) -> None:
    from PIL import Image

    Image.new("RGBA", size, (shade, 0, 255 - shade, 255)).save(file)


def write_sound(file: Path, pitch: float, seconds: float, rate: int = 44_100) -> None:
    import soundfile

    time = np.arange(int(seconds * rate)) / rate
    tone = 0.4 * np.sin(2 * np.pi * pitch * time)
    soundfile.write(file, np.stack([tone, tone], 1), rate, format="OGG", subtype="VORBIS")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Six stamps in each folder, French for two thirds of them, Danish for one."""
    unpacked = tmp_path_factory.mktemp("stamps")
    top = unpacked / files.WITHIN
    for f, folder in enumerate(FOLDERS):
        below = top / folder / "cartoon"
        below.mkdir(parents=True)
        for i in range(PER_FOLDER):
            base = below / f"{folder}{'pqrstu'[i]}x"
            write_picture(base.with_suffix(".png"), 30 * f + i)
            lines = [
                f"A thing of {folder}, the {i}th.",
                "fr.utf8=Une chose.",
                "de.utf8=",
                "no language",
            ]
            base.with_suffix(".txt").write_text("\n".join(lines[: 4 if i else 1]), "utf-8")
            if i % 3:
                write_sound(base.with_name(f"{base.name}_desc_fr.ogg"), 200 + 40 * f + i, 0.2)
        write_sound(below / f"{folder}px_desc_da.ogg", 300 + 40 * f, 0.2)
    (top / "vehicles" / "car.svg").write_text(SVG)
    (top / "vehicles" / "car.txt").write_text("A car.\n", "utf-8")
    write_picture(top / "vehicles" / "car_mirror.png", 9)  # has no description of its own
    (top / "medical").mkdir()
    return unpacked


@pytest.fixture
def real():
    """The folder of the real package."""
    folder = GIVEN or ("/" if files.INSTALLED.is_dir() else None)
    return folder or pytest.skip("Tux Paint's stamps are not on this machine")


@pytest.fixture(autouse=True)
def found(root, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MMBENCH_STAMPS", str(root))
    monkeypatch.setenv("MMBENCH_CACHE", str(root / "cache"))


@pytest.mark.parametrize("cls", [Stamps, SparseStamps])
def test_they_keep_the_contract(cls):
    check_dataset(cls(size=16))


@pytest.mark.parametrize("cls", [Stamps, SparseStamps])
def test_the_package_is_what_the_card_says(cls, monkeypatch, real):
    """Where Tux Paint's stamps are installed or unpacked."""
    monkeypatch.setenv("MMBENCH_STAMPS", real)
    check_dataset(cls())


def test_rows_are_what_the_files_say():
    dataset = Stamps(text="fr", size=16)
    splits = {part: dataset.load(part) for part in SHARES}
    assert sum(map(len, splits.values())) == len(dataset.stamps) == len(FOLDERS) * PER_FOLDER + 1
    for split in splits.values():
        image, text, speech = (split.columns[m] for m in ("image", "text", "speech"))
        assert image.values.shape[1:] == (3, 16, 16) and image.values.dtype == torch.uint8
        assert speech.values.shape[0] == (speech.index != MISSING).sum() < len(split)
        assert set(text.values) == {"Une chose."} and (text.index == MISSING).any()
        spoken = ["missing" if i == MISSING else "recorded" for i in speech.index.tolist()]
        assert list(split.slices["speech"]) == spoken
    everything = [i for split in splits.values() for i in split.source.tolist()]
    assert len(set(everything)) == len(set(groups(dataset.stamps)))


def test_a_row_has_its_own_picture_and_sound():
    """The tone of a recording and the shade of a picture both tell the folder."""
    split = Stamps(size=16).load("train")
    for row in range(len(split)):
        one = split.rows(torch.tensor([row]))
        folder = int(one.target)
        shade = int(one.columns["image"].values[0, 0, 8, 8])
        if shade == 255:
            continue  # the red car
        assert shade // 30 == folder
        if len(one.columns["speech"].values):
            sound = one.columns["speech"].values[0].nan_to_num()
            pitch = torch.fft.rfft(sound, RATE).abs().argmax().item()  # in hertz
            assert abs(pitch - 200 - 40 * folder) < 15


def test_what_is_decoded_is_cached(monkeypatch):
    first = Stamps(size=16).load("val")
    monkeypatch.setattr("mmbench_stamps.decode", lambda *_: pytest.fail("decoded again"))
    again = Stamps(size=16).load("val")
    assert torch.equal(first.columns["image"].values, again.columns["image"].values)


def test_the_version_changes_with_files_and_settings(root):
    versions = {Stamps(size=16).version, Stamps(size=24).version, Stamps(speech="es").version}
    extra = root / files.WITHIN / "town" / "house.svg"
    extra.write_text(SVG)
    extra.with_suffix(".txt").write_text("A house.")
    versions.add(Stamps(size=16).version)
    extra.unlink()
    extra.with_suffix(".txt").unlink()
    assert len(versions) == 4 and Stamps(size=16).version in versions


def test_variants_and_equal_descriptions_are_one_group(tmp_path):
    for name, text in (
        ("heart_filled", "A heart."), ("heart_outline", "A heart line."), ("amour", "a heart."),
        ("gift2", "A gift."), ("gift", "A present."), ("7", "Seven."), ("bed_b", "A bed."),
    ):  # fmt: skip
        (tmp_path / "symbols").mkdir(exist_ok=True)
        write_picture(tmp_path / "symbols" / f"{name}.png", 1)
        (tmp_path / "symbols" / f"{name}.txt").write_text(text)
    found = stamps(tmp_path)
    group = dict(zip((s.picture.stem for s in found), groups(found), strict=True))
    assert group["heart_filled"] == group["heart_outline"] == group["amour"]
    assert group["gift"] == group["gift2"]
    assert len(set(group.values())) == 4
    assert {base_name(s) for s in found} == {"heart", "amour", "gift", "7", "bed"}


def test_texts(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("A \xe9 b\nfr.utf8=Un.\nca@valencia.utf8=Dos.\n".encode("latin-1"))
    assert read_texts(file) == {"en": "A \ufffd b", "fr": "Un.", "ca@valencia": "Dos."}
    file.write_text("")
    assert read_texts(file) == {"en": ""}


def test_pictures_are_centred_on_white(tmp_path):
    (tmp_path / "car.svg").write_text(SVG)
    pixels = picture(tmp_path / "car.svg", 16)
    assert pixels[:, 8, 8].tolist() == [255, 0, 0] and pixels[:, 1, 8].tolist() == [255] * 3
    write_picture(tmp_path / "a.png", 5)
    pixels = picture(tmp_path / "a.png", 16)
    assert pixels[:, 8, 8].tolist() == [5, 0, 250] and pixels[:, 8, 1].tolist() == [255] * 3


def test_sounds_are_mono_16_khz_and_cut(tmp_path):
    write_sound(tmp_path / "a.ogg", 440, 0.5)
    write_sound(tmp_path / "long.ogg", 440, 5.0, 16_000)
    assert abs(len(clip(tmp_path / "a.ogg")) - RATE // 2) < 3
    assert len(clip(tmp_path / "long.ogg")) == SECONDS * RATE


def test_broken_files_are_named(tmp_path):
    for name in ("bad.png", "bad.svg", "bad.ogg"):
        (tmp_path / name).write_bytes(b"broken")
        with pytest.raises(DataUnavailable, match=name):
            clip(tmp_path / name) if name.endswith("ogg") else picture(tmp_path / name, 8)


def test_without_the_package_the_next_step_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("MMBENCH_STAMPS", str(tmp_path))
    with pytest.raises(DataUnavailable, match=r"holds no stamps.*apt-get download.*dpkg -x"):
        Stamps().load("train")
    monkeypatch.delenv("MMBENCH_STAMPS")
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "nowhere")
    with pytest.raises(DataUnavailable, match="There are none in"):
        find_root()
    assert Stamps().task.n_outputs == 8  # it can be listed all the same


def test_they_are_found_by_their_entry_point():
    check_installed("mmbench-stamps", Stamps, SparseStamps)
