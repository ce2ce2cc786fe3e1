"""Published data sets, on tiny files of the same format: what is read, what is refused, by name."""

import io
import json
import os
import pickle
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from mmbench.contracts import Dataset
from mmbench.datasets._arrays_only import read_pickle
from mmbench.datasets.av_folders import AVFolders
from mmbench.datasets.av_mnist import AVMNIST
from mmbench.datasets.cmu_mosi import MOSEI, MOSI, _columns
from mmbench.datasets.hateful_memes import HatefulMemes
from mmbench.datasets.mm_imdb import MMIMDb
from mmbench.datasets.vqa_v2 import VQAv2
from mmbench.errors import DataUnavailable, InvalidParameter, MMBenchError, UnusableData
from mmbench.parts import PARTS
from mmbench.plugins import load_plugins
from mmbench.resolve import resolve
from mmbench.spec import Component, TrialSpec
from mmbench.testing import check_dataset
from mmbench.trial import Workbench, train_trial
from mmbench.types import MISSING


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def vqa_v2(root: Path) -> None:
    for year, n in (("train2014", 40), ("val2014", 6)):
        questions, annotations = [], []
        for image in range(n):
            picture(root / year / f"COCO_{year}_{image:012d}.jpg", image)
            for k in range(2):
                number = image * 10 + k
                questions.append(
                    {"image_id": image, "question": f"What is {k}?", "question_id": number}
                )
                answer = ("yes", "no")[k] if image % 5 else f"rare {image}"
                annotations.append(
                    {
                        "question_id": number, "image_id": image, "question_type": "what is",
                        "multiple_choice_answer": answer, "answer_type": "other",
                        "answers": [{"answer": answer, "answer_id": 1}],
                    }
                )  # fmt: skip
        write(root / f"v2_OpenEnded_mscoco_{year}_questions.json", {"questions": questions})
        write(root / f"v2_mscoco_{year}_annotations.json", {"annotations": annotations})


def mm_imdb(root: Path) -> None:
    genres = [["Drama"], ["Comedy", "Drama"], ["Horror"]]
    names = [f"{i:07d}" for i in range(12)]
    for i, name in enumerate(names):
        picture(root / "dataset" / f"{name}.jpeg", i)
        film = {"plot": ["Short.", f"A longer plot of film {i}."], "genres": genres[i % 3]}
        write(root / "dataset" / f"{name}.json", film)
    write(root / "split.json", {"train": names[:6], "dev": names[6:9], "test": names[9:]})


def hateful_memes(root: Path) -> None:
    for part, first in (("train", 0), ("dev_seen", 10), ("test_seen", 20)):
        memes = []
        for i in range(first, first + 6):
            picture(root / "img" / f"{i:05d}.png", i)
            memes.append(
                {"id": i, "img": f"img/{i:05d}.png", "label": i % 2, "text": f"a meme says {i}"}
            )
        (root / f"{part}.jsonl").write_text("\n".join(map(json.dumps, memes)))


def av_mnist(root: Path) -> None:
    draw = np.random.default_rng(0)
    for part, n in (("train", 20), ("test", 8)):
        for folder, shape in (("image", (n, 784)), ("audio", (n, 112, 112))):
            (root / folder).mkdir(exist_ok=True, parents=True)
            np.save(root / folder / f"{part}_data.npy", draw.random(shape))
        np.save(root / f"{part}_labels.npy", np.arange(n) % 10)


def mosi(root: Path) -> None:
    draw, data = np.random.default_rng(0), {}
    for place, part in enumerate(("train", "valid", "test")):
        data[part] = {
            "text": draw.random((6, 5, 4)).astype(np.float32),
            "vision": draw.random((6, 5, 3)),
            "audio": draw.random((6, 5, 2)),
            "labels": draw.uniform(-3, 3, (6, 1, 1)),
            "id": np.array([[f"video{place}{i // 2}$_${i}"] for i in range(6)]),
        }
        data[part]["audio"][0, 0, 0] = -np.inf
    root.mkdir(exist_ok=True)
    (root / "mosi_data.pkl").write_bytes(pickle.dumps(data))


def av_folders(root: Path) -> None:
    draw = np.random.default_rng(0)
    for part, n in (("train", 6), ("val", 2), ("test", 2)):
        for label in ("dog", "bell"):
            for i in range(n):
                stem = root / part / label / f"{i}"
                picture(stem / "0.jpg", int(draw.integers(10**6)))
                with wave.open(str(stem.with_suffix(".wav")), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(16_000)
                    file.writeframes(draw.integers(-9, 9, 160, dtype=np.int16).tobytes())
    (root / "train" / "dog" / "0.wav").unlink()


FORMATS = {
    "vqa-v2": (vqa_v2, VQAv2), "mm-imdb": (mm_imdb, MMIMDb), "av-mnist": (av_mnist, AVMNIST),
    "hateful-memes": (hateful_memes, HatefulMemes), "cmu-mosi": (mosi, MOSI),
    "av-folders": (av_folders, AVFolders),
}  # fmt: skip


def loaded(name: str, root: Path) -> Dataset:
    make, cls = FORMATS[name]
    make(root)
    few = {"validation": 4} if name == "av-mnist" else {}
    return cls(root=str(root), **few)


@pytest.mark.parametrize("name", FORMATS)
def test_it_keeps_the_promises_of_a_dataset(name, tmp_path):
    check_dataset(loaded(name, tmp_path / "root"))


@pytest.mark.parametrize("name", FORMATS)
def test_without_files_it_says_what_it_needs(name, tmp_path):
    cls = FORMATS[name][1]
    with pytest.raises(DataUnavailable, match=r"--set task\.root=DIR"):
        cls()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataUnavailable) as error:
        cls(root=str(tmp_path / "empty"))
    for expected in cls.expects:
        assert " or ".join(expected.names) in str(error.value)


def test_vqa_v2_classes_are_frequent_training_answers(tmp_path):
    task = loaded("vqa-v2", tmp_path / "root")
    assert task.task.outputs == ("<other>", "no", "yes")
    train, val, test = (task.load(part) for part in ("train", "val", "test"))
    assert (train.target > 0).all() and len(test) == 12 and (test.target == 0).sum() == 4
    rare = int((val.target == 0).sum())  # of training only what cannot be learnt is left out
    assert len(train) + len(val) == 64 + rare
    assert len(train.columns["image"].values) < len(train)


def test_vqa_v2_questions_without_an_answer_are_counted_and_left_out(tmp_path):
    whole, root = loaded("vqa-v2", tmp_path / "whole"), tmp_path / "root"
    vqa_v2(root)
    for year in ("train2014", "val2014"):
        path = root / f"v2_mscoco_{year}_annotations.json"
        found = json.loads(path.read_text())["annotations"]
        write(path, {"annotations": [a for a in found if a["image_id"] != 1]})
    task = VQAv2(root=str(root))
    assert task.task.outputs == ("<other>", "no", "yes")
    n = [sum(len(one.load(part)) for part in PARTS) for one in (whole, task)]
    assert n[0] - n[1] == 4
    assert any("4 rows have no usable target" in f.says for f in task.prepared.findings)


@pytest.mark.parametrize("there", [(), ("dog",), ("train/dog", "cat")])
def test_av_folders_that_are_not_whole_are_told_the_layout(tmp_path, there):
    for folder in there:
        picture(tmp_path / folder / "clip.jpg", 0)
    with pytest.raises(DataUnavailable) as error:
        AVFolders(root=str(tmp_path))
    for part in (f"{tmp_path}/train/CLASS/clip.wav", "clip.jpg", f"{tmp_path}/test"):
        assert part in str(error.value)


def test_av_folders_say_what_clips_lack(tmp_path):
    av_folders(tmp_path)
    dogs, bells = tmp_path / "train" / "dog", tmp_path / "train" / "bell"
    shutil.rmtree(dogs / "1")
    for folder, film in ((dogs, "1.mp4"), (dogs, "2.avi"), (bells, "0.MOV")):
        (folder / film).write_bytes(b"ftyp")
    task = AVFolders(root=str(tmp_path))
    assert (~task.load("train").columns["frames"].present).sum() == 1
    said = [item for finding in task.prepared.findings for item in finding.items]
    assert any("dog/1.mp4" in item and "a folder of its frames" in item for item in said)
    for sound in tmp_path.rglob("*.wav"):
        sound.unlink()
    with pytest.raises(DataUnavailable, match=r"no clip of .* has sound: expected are"):
        AVFolders(root=str(tmp_path))


def test_mm_imdb_reads_the_longest_plot(tmp_path):
    task = loaded("mm-imdb", tmp_path / "root")
    assert task.task.outputs == ("Comedy", "Drama", "Horror")
    train = task.load("train")
    assert len(train) == 6 and train.target[1].tolist() == [1, 1, 0]
    assert "A longer plot of film 0." in train.columns["plot"].values


def test_hateful_memes_without_labels_is_refused(tmp_path):
    hateful_memes(tmp_path)
    memes = [json.loads(line) for line in (tmp_path / "test_seen.jsonl").read_text().splitlines()]
    (tmp_path / "test_seen.jsonl").unlink()
    bare = [{k: v for k, v in meme.items() if k != "label"} for meme in memes]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, bare)))
    with pytest.raises(DataUnavailable, match="has no labels"):
        HatefulMemes(root=str(tmp_path))


def test_av_mnist_reads_what_is_asked_for(tmp_path):
    task = loaded("av-mnist", tmp_path)
    image = np.load(tmp_path / "image" / "train_data.npy")
    column = task.load("val").columns["image"]
    assert torch.equal(
        column.values[torch.tensor([1])], torch.from_numpy(image[17].reshape(1, 1, 28, 28))
    )
    assert task.load("train").columns["audio"].values[torch.tensor([0])].shape == (1, 1, 112, 112)


def test_av_mnist_goes_by_all_of_its_content(tmp_path):
    def spec(folder: str) -> TrialSpec:
        task = Component("av-mnist", {"root": str(tmp_path / folder), "validation": 4})
        encoders = {"image": Component("hog"), "audio": Component("hog")}
        asked = TrialSpec(task, encoders, Component("concat"), Component("linear"))
        return resolve(asked, load_plugins()).spec

    loaded("av-mnist", tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    before = spec("one")
    assert before.task.places == {"root": str(tmp_path / "one")}
    assert before.id == spec("two").id
    np.save(tmp_path / "two" / "audio" / "test_data.npy", np.zeros((8, 112, 112)))
    assert before.id != spec("two").id


def test_av_folders_without_sound_miss_it(tmp_path):
    task = loaded("av-folders", tmp_path)
    train = task.load("train")
    assert task.task.outputs == ("bell", "dog")
    assert (train.columns["sound"].index == MISSING).sum() == 1 and len(train) == 12


class Evil:
    def __reduce__(self):
        return os.system, ("echo it ran > /tmp/owned-by-a-pickle",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "mosi_data.pkl"
    path.write_bytes(pickle.dumps({"train": Evil()}))
    with pytest.raises(DataUnavailable, match=r"(posix|nt)\.system, which is no array"):
        read_pickle(path)
    assert not Path("/tmp/owned-by-a-pickle").exists()
    path.write_bytes(b"\x80\x04 nonsense")
    with pytest.raises(DataUnavailable, match="was not read"):
        read_pickle(path)
    for protocol in range(6):
        array = np.arange(3.0)
        path.write_bytes(pickle.dumps({"a": array, "b": [np.float32(1)]}, protocol))
        assert np.array_equal(read_pickle(path)["a"], array)


OBJECTS, EIGHT = b"cnumpy\ndtype\n(\x8c\x01O\x89\x88tR", b"C\x08AAAAAAAA"
FORGED = {
    "an array over bytes": b"cnumpy\nndarray\n(K\x01\x85" + OBJECTS + EIGHT + b"tR.",
    "a dtype without its flags": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01K\x01\x85"
        + OBJECTS
        + b"(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + EIGHT
        + b"tb."
    ),
    "a scalar": b"cnumpy.core.multiarray\nscalar\n" + OBJECTS + EIGHT + b"\x86R.",
    "a buffer": (
        b"cnumpy._core.numeric\n_frombuffer\n(" + EIGHT + OBJECTS + b"K\x01\x85\x8c\x01CtR."
    ),
    "a size that no memory has": b"cnumpy\nndarray\n\x8a\x06\x00\x00\x00\x00\x00\x40\x85R.",
    "bytes that are not there": b"\x8e\x00\x00\x00\x00\x00\x40\x00\x00.",
    "fields": b"cnumpy\ndtype\n(\x8c\x04O,f8\x89\x88tR.",
    "attributes": b"c_codecs\nencode\nN}\x8c\x0c__defaults__)s\x86b0c_codecs\nencode\n)R.",
}


@pytest.mark.parametrize("what", FORGED)
def test_a_pickle_cannot_have_its_bytes_taken_for_addresses(what, tmp_path):
    path = tmp_path / "mosi_data.pkl"
    path.write_bytes(b"\x80\x04" + FORGED[what])
    try:
        found = read_pickle(path)
    except DataUnavailable as refused:
        assert "was not read: " in str(refused)
    else:
        assert repr(found) in ("_Array([], dtype=int8)", "b''")  # which reads every object


FIRST, LAST = [[0.0], [0.0], [1.0], [2.0]], [[3.0], [0.0], [0.0], [0.0]]  # (time, features)


@pytest.mark.parametrize(("steps", "kept"), [(FIRST, [1, 2]), (FIRST[::-1], [2, 1]), (LAST, [3])])
def test_padding_goes_to_the_end(steps, kept):
    found = _columns({"text": torch.tensor([steps])})["text"].values[0, :, 0]
    assert found[: len(kept)].tolist() == kept and found[len(kept) :].isnan().all()


def test_words_stay_beside_the_faces_of_when_they_were_said():
    no_face_at_first = [[0.0], [0.0], [0.0], [5.0]]
    aligned = {"text": torch.tensor([FIRST]), "vision": torch.tensor([no_face_at_first])}
    assert _columns(aligned)["vision"].values[0, :2, 0].tolist() == [0, 5]
    apart = {**aligned, "vision": aligned["vision"][:, 1:]}
    assert _columns(apart)["vision"].values[0, :1, 0].tolist() == [5]


def test_a_segment_without_a_face_misses_it():
    found = _columns(
        {"text": torch.tensor([FIRST, LAST]), "vision": torch.tensor([FIRST, LAST]) * 0}
    )
    assert found["text"].index is None and not found["vision"].present.any()


@pytest.mark.parametrize("emotions", [0, 6])
def test_a_pickle_of_mmsa_and_labels_with_emotions(emotions, tmp_path):
    mosi(tmp_path)
    data = read_pickle(tmp_path / "mosi_data.pkl")
    whole = [MOSI(root=str(tmp_path)).load(part).target for part in PARTS]
    for part in data.values():
        labels = part.pop("labels").reshape(6, 1)
        part["regression_labels"] = np.hstack([labels, *[np.ones_like(labels)] * emotions])
        part["raw_text"] = np.array(["SAID", "ALOUD"] * 3, object)
    (tmp_path / "mosi_data.pkl").rename(tmp_path / "unaligned_50.pkl")
    (tmp_path / "unaligned_50.pkl").write_bytes(pickle.dumps(data))
    for cls in (MOSI, MOSEI):
        found = [cls(root=str(tmp_path)).load(part).target for part in PARTS]
        assert all(map(torch.equal, found, whole))


def test_videos_are_sources(tmp_path):
    task = loaded("cmu-mosi", tmp_path)
    assert len(task.load("train").source.unique()) == 3
    assert task.load("val").columns["audio"].values[0, 0].isfinite().all()


def test_prepare_says_what_is_missing_and_what_is_there(tmp_path, monkeypatch, capsys):
    from mmbench.cli import main as cli

    def command(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["mmbench", "prepare", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    hateful_memes(tmp_path)
    assert command("hateful-memes", "--root", str(tmp_path)) == 0
    assert "train 6, val 6, test 6 rows" in capsys.readouterr().out
    (tmp_path / "train.jsonl").unlink()
    assert command("hateful-memes", "--root", str(tmp_path)) == 1
    assert "train.jsonl is missing (8,500 training memes)" in capsys.readouterr().out
    assert command("synergy", "--root", str(tmp_path)) == 2
    mosi(tmp_path / "few")
    without_training(tmp_path / "few" / "mosi_data.pkl")
    assert command("cmu-mosi", "--root", str(tmp_path / "few")) == 1
    assert "train cannot be empty" in capsys.readouterr().out


def unpacked_elsewhere(root: Path) -> str:
    (root / "more").mkdir()
    (root / "img").rename(root / "more" / "img")
    return f"Move {root}/more/img into {root}. "


def still_packed(root: Path) -> str:
    (root / "img").rename(root.parent / "img")
    (root / "img.tar.gz").touch()
    return "img is missing (the pictures). Unpack img.tar.gz. "


def a_level_below(root: Path) -> str:
    (root / "data").mkdir()
    for path in ("train.jsonl", "dev_seen.jsonl", "test_seen.jsonl", "img"):
        (root / path).rename(root / "data" / path)
    return f"All of it is in {root}/data: give that folder. "


def some_pictures(root: Path) -> str:
    for number in (0, 1, 20):
        (root / "img" / f"{number:05d}.png").unlink()
    return f"3 of 18 files of 'image' are missing, such as {root}/img/00000.png. "


@pytest.mark.parametrize("left", [unpacked_elsewhere, still_packed, a_level_below, some_pictures])
def test_prepare_says_where_what_is_missing_is(left, tmp_path, monkeypatch, capsys):
    from mmbench.cli import main as cli

    root = tmp_path / "memes"
    hateful_memes(root)
    says = left(root)
    monkeypatch.setattr("sys.argv", ["mmbench", "prepare", "hateful-memes", "--root", str(root)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1 and says in capsys.readouterr().out


def test_the_folder_above_is_told_of(tmp_path):
    hateful_memes(tmp_path)
    with pytest.raises(DataUnavailable, match=f"All of it is in {tmp_path}: give that folder"):
        HatefulMemes(root=str(tmp_path / "img"))


def test_most_pictures_must_be_there(tmp_path):
    hateful_memes(tmp_path)
    for path in list((tmp_path / "img").iterdir())[:10]:
        path.unlink()
    with pytest.raises(DataUnavailable, match=r"not whole: 10 of 18 files of 'img' are missing"):
        HatefulMemes(root=str(tmp_path))


def test_mm_imdb_counts_films_that_are_missing_and_takes_one_without_a_plot(tmp_path):
    mm_imdb(tmp_path)
    films = tmp_path / "dataset"
    write(films / "0000000.json", {"plot": [], "genres": ["Drama"]})
    assert (~MMIMDb(root=str(tmp_path)).load("train").columns["plot"].present).sum() == 1
    whole = tmp_path.rename(tmp_path.with_name("fewer"))  # a folder is read once per process
    for number in (2, 3):
        (whole / "dataset" / f"000000{number}.json").unlink()
    with pytest.raises(DataUnavailable, match=r"2 of 12 films .* missing, such as 0000002\.json"):
        MMIMDb(root=str(whole))


def without_training(path: Path) -> None:
    data = read_pickle(path)
    data["train"] = {name: values[:0] for name, values in data["train"].items()}
    path.write_bytes(pickle.dumps(data))


def test_a_part_without_rows_is_named(tmp_path):
    mosi(tmp_path)
    without_training(tmp_path / "mosi_data.pkl")
    spec = TrialSpec(
        Component("cmu-mosi", {"root": str(tmp_path)}),
        {modality: Component("conv1d") for modality in MOSI.task.modalities},
        Component("concat"),
        Component("linear"),
    )
    with pytest.raises(UnusableData, match="The part train of cmu-mosi has no rows"):
        train_trial(spec, load_plugins(), Workbench(torch.device("cpu")))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without(key: str) -> Callable[[Path], None]:
    """Of what is told of each row, and the file is written anew."""

    def change(path: Path) -> None:
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line.replace(f'"{key}"', '"other"') for line in lines))

    return change


def holding(value: object) -> Callable[[Path], None]:
    return lambda path: write(path, value)


def no_digit(path: Path) -> None:
    np.save(path, [10, *np.load(path)[1:]])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def unsure(path: Path) -> None:
    data = read_pickle(path)
    data["train"]["labels"][0] = np.nan
    path.write_bytes(pickle.dumps(data))


def as_hdf5(path: Path) -> None:
    path.with_name("mosi.h5").write_bytes(b"junk")
    path.unlink()


FILM, QUESTIONS = "dataset/0000003.json", "v2_OpenEnded_mscoco_val2014_questions.json"
ANSWERS = "v2_mscoco_train2014_annotations.json"


@pytest.mark.parametrize(
    ("name", "file", "change", "says"),
    [
        ("mm-imdb", "split.json", emptied, "split.json is not as mm-imdb is published: Expecting"),
        ("mm-imdb", "split.json", without("dev"), "'dev' is missing"),
        ("mm-imdb", FILM, holding({"plot": None, "genres": ["a"]}), "3.json .* plot is None"),
        ("mm-imdb", FILM, holding({"plot": ["a"], "genres": "Drama"}), "genres is 'Drama'"),
        ("vqa-v2", QUESTIONS, without("image_id"), f"{QUESTIONS} .* 'image_id' is missing"),
        ("vqa-v2", ANSWERS, without("multiple_choice_answer"), f"{ANSWERS} .* is missing"),
        ("hateful-memes", "dev_seen.jsonl", without("img"), "dev_seen.jsonl .* 'img' is missing"),
        ("hateful-memes", "train.jsonl", without("id"), "train.jsonl .* 'id' is missing"),
        ("av-mnist", "train_labels.npy", emptied, "train_labels.npy .* No data left"),
        ("av-mnist", "test_labels.npy", no_digit, "a label is 10, which is no digit"),
        ("av-mnist", "audio/train_data.npy", cut, r"train_data.npy .* it was cut short\. Fetch"),
        ("cmu-mosi", "mosi_data.pkl", unsure, "labels hold what is no number"),
        ("cmu-mosi", "mosi_data.pkl", as_hdf5, "mosi.h5 is not as cmu-mosi is published"),
    ],
)
def test_what_is_not_as_it_was_published_is_named(name, file, change, says, tmp_path):
    make, cls = FORMATS[name]
    make(tmp_path)
    change(tmp_path / file)
    if name == "cmu-mosi":
        pytest.importorskip("h5py")
    with pytest.raises(DataUnavailable, match=says):
        few = {"validation": 4} if name == "av-mnist" else {}
        task = cls(root=str(tmp_path), **few)
        [task.load(part) for part in PARTS]


@pytest.mark.parametrize("validation", [0, 20, 5000])
def test_a_validation_part_leaves_digits_to_train_on(validation, tmp_path):
    av_mnist(tmp_path)
    with pytest.raises(InvalidParameter, match=r"20 training digits\. Allowed: 1 to 19"):
        AVMNIST(root=str(tmp_path), validation=validation)


def test_a_clip_may_have_dots_in_its_name(tmp_path):
    av_folders(tmp_path)
    dogs = tmp_path / "train" / "dog"
    for number in (1, 2):  # what follows the dot of a folder is no suffix
        (dogs / f"{number}").rename(dogs / f"v.{number}")
        (dogs / f"{number}.wav").rename(dogs / f"v.{number}.wav")
    (dogs / "._3.jpg").write_bytes(b"left by macOS")
    train = AVFolders(root=str(tmp_path)).load("train")
    assert len(train) == 12 and train.columns["frames"].present.all()
    assert (~train.columns["sound"].present).sum() == 1


def saved_by_the_library(folder: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    draw = np.random.default_rng(0)
    features = datasets.Features(
        {
            "image": datasets.Image(), "text": datasets.Value("string"),
            "size": datasets.Value("int32"), "label": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )  # fmt: skip

    def split(n: int) -> object:
        pictures = [Image.fromarray(draw.integers(0, 255, (9, 9, 3), np.uint8)) for _ in range(n)]
        rows = {
            "image": pictures,
            "text": [f"a long text number {draw.integers(10**6)}" for _ in range(n)],
            "size": [i % 5 for i in range(n)], "label": [i % 2 for i in range(n)],
        }  # fmt: skip
        return datasets.Dataset.from_dict(rows, features=features)

    datasets.DatasetDict({"train": split(20), "test": split(6)}).save_to_disk(folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_data_set_of_the_library_from_a_folder(tmp_path):
    folder = saved_by_the_library(tmp_path / "saved")
    from mmbench.datasets.huggingface import HuggingFace

    task = HuggingFace(path=str(folder), image_size=8)
    check_dataset(task)
    assert dict(task.task.modalities) == {"image": "image", "text": "text", "table": "tabular"}
    assert task.task.outputs == ("cat", "dog")
    assert [len(task.load(part)) for part in ("train", "val", "test")] == [18, 2, 6]
    values = task.load("test").columns["image"].values[torch.tensor([2, 0])]
    assert values.shape == (2, 3, 8, 8) and values.dtype == torch.uint8
    with pytest.raises(MMBenchError, match="Did you mean 'label'"):
        HuggingFace(path=str(folder), target="labels")
    with pytest.raises(DataUnavailable, match="is no data set"):
        HuggingFace(path=str(tmp_path / "nothing"))


def labelled(n: int, label: object = None) -> object:
    """(rows) a number of two classes, or all of the class -1: kept back."""
    datasets = pytest.importorskip("datasets")
    features = {"size": datasets.Value("float32"), "label": datasets.ClassLabel(names=["a", "b"])}
    rows = {"size": [i % 7 for i in range(n)], "label": [label or i % 2 for i in range(n)]}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_split_whose_targets_were_kept_back_is_drawn(tmp_path, caplog):
    datasets = pytest.importorskip("datasets")
    from mmbench.datasets.huggingface import HuggingFace

    splits = {
        "train": labelled(50),
        "Dev": labelled(10),
        "test": labelled(10, -1),
        "extra": labelled(4),
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    task = HuggingFace(path=str(tmp_path / "saved"))
    assert [len(task.load(part)) for part in PARTS] == [45, 10, 5]
    assert "label: 10 rows have no usable target" in caplog.text
    assert "splits that are not used: extra" in caplog.text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["full", "test"])
def test_a_data_set_without_a_split_to_train_on_is_refused(name, tmp_path):
    datasets = pytest.importorskip("datasets")
    from mmbench.datasets.huggingface import HuggingFace

    datasets.DatasetDict({name: labelled(20)}).save_to_disk(tmp_path / "saved")
    with pytest.raises(UnusableData, match=f"no split to train on: there is {name}"):
        HuggingFace(path=str(tmp_path / "saved"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_splits_of_other_columns_are_refused(tmp_path):
    datasets = pytest.importorskip("datasets")
    from mmbench.datasets.huggingface import HuggingFace

    other = datasets.Dataset.from_dict({"size": ["a"], "label": ["b"]})
    datasets.DatasetDict(train=labelled(20), test=other).save_to_disk(tmp_path / "saved")
    with pytest.raises(UnusableData, match=r"The splits of .* have other columns"):
        HuggingFace(path=str(tmp_path / "saved"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_data_set_of_the_library_goes_by_its_content(tmp_path):
    saved = saved_by_the_library(tmp_path / "one")
    datasets = pytest.importorskip("datasets")
    shutil.copytree(saved, tmp_path / "two")
    whole = datasets.load_from_disk(saved)
    mirrored = whole.map(lambda row: {"image": row["image"].transpose(0)})
    mirrored.save_to_disk(tmp_path / "three")
    encoders = {"image": Component("hog"), "text": Component("tfidf"), "table": Component("vector")}

    def resolved(folder: str) -> TrialSpec:
        task = Component("huggingface", {"path": str(tmp_path / folder)})
        spec = TrialSpec(task, encoders, Component("concat"), Component("linear"))
        return resolve(spec, load_plugins()).spec

    one, two, three = map(resolved, ("one", "two", "three"))
    assert one.task.places == {"path": str(saved)} and one.id == two.id
    assert three.id != one.id, "another picture is another data set"


def things(folder: Path, n: int = 60, without: int | None = None) -> Path:
    """Pictures in pairs, captions, two texts of one name but for a blank, and a large price."""
    datasets = pytest.importorskip("datasets")
    draw = np.random.default_rng(0)
    features = datasets.Features(
        {
            "image": datasets.Image(), "my text": datasets.Value("string"),
            "my_text": datasets.Value("string"), "caption": datasets.Value("string"),
            "price": datasets.Value("float32"),
        }
    )  # fmt: skip
    pictures = [Image.fromarray(draw.integers(0, 255, (9, 9, 3), np.uint8)) for _ in range(n // 2)]
    rows = {
        "image": [None if i == without else pictures[i // 2] for i in range(n)],
        "my text": [f"a long text number {draw.integers(10**6)}" for _ in range(n)],
        "my_text": [f"some other words {draw.integers(10**6)}" for _ in range(n)],
        "caption": [f"a {'red' if i // 2 % 2 else 'small green'} thing" for i in range(n)],
        "price": [250_000 + 40_000 * (i % 2) + draw.normal() for i in range(n)],
    }
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_kind_of_target_of_the_library(tmp_path):
    folder = str(things(tmp_path / "saved", without=7))
    from mmbench.datasets.huggingface import HuggingFace

    number = HuggingFace(path=folder, target="price", image_size=8)
    check_dataset(number)
    assert list(number.task.modalities) == ["image", "my_text", "my_text_", "table"]
    train = number.load("train").target
    assert float(train.mean()) == pytest.approx(0, abs=1e-5)
    assert float(train.std(correction=0)) == pytest.approx(1, abs=1e-5)
    missing = [int((number.load(p).columns["image"].index == MISSING).sum()) for p in PARTS]
    assert sum(missing) == 1

    said = HuggingFace(path=folder, target="caption", target_kind="sequence", columns="image")
    check_dataset(said)
    assert said.task.length == 5 and list(said.task.modalities) == ["image"]

    pairs = HuggingFace(path=folder, target_kind="retrieval", columns="image,my text")
    check_dataset(pairs)
    items = [set(pairs.load(part).target[:, 0].tolist()) for part in PARTS]
    assert not items[0] & items[1] and not items[0] & items[2], "an item is in one part"
    few = HuggingFace(path=folder, target_kind="retrieval", columns="image,caption")
    assert dict(few.task.modalities) == {"image": "image", "caption": "text"}
    assert len(set.union(*items)) == 30 and sum(len(pairs.load(part)) for part in PARTS) == 59


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_numbers_as_people_write_them_are_read_as_in_a_table_of_ones_own(
    tmp_path, caplog, monkeypatch
):
    datasets = pytest.importorskip("datasets")
    from mmbench.datasets.huggingface import HuggingFace
    from mmbench.tables import preparing

    rows = {
        "area": [f"{i},5" for i in range(40)],
        "share": [f"{i}%" for i in range(40)],
        "price": [f"1.{100 + i * i % 97},50 €" for i in range(40)],
    }
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    read = HuggingFace(path=str(tmp_path / "saved"), target="price")
    assert dict(read.task.modalities) == {"table": "tabular"} and read.task.target == "regression"
    assert read.load("train").columns["table"].values.unique().numel() >= 32
    assert "price: numbers with a decimal comma were read as such" in caplog.text
    classes = HuggingFace(path=str(tmp_path / "saved"), target="price", target_kind="multilabel")
    assert "1.100,50 €" in classes.task.outputs
    monkeypatch.setattr(preparing, "RULES", "other")
    assert HuggingFace(path=str(tmp_path / "saved"), target="price").version != read.version


def png(red: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (9, 9), (red, 0, 0)).save(content, "PNG")
    return content.getvalue()


def of_every_feature(folder: Path, n: int = 40) -> Path:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "words": datasets.Value("large_string"),
            "grid": datasets.Array2D((4, 3), "float32"),
            "album": datasets.List(datasets.Image()),
            "about": {"age": datasets.Value("int8")},
            "nothing": datasets.Value("null"),
            "photo": datasets.Image(),
            "tags": datasets.List(datasets.ClassLabel(names=["red", "round"])),
        }
    )
    rows = {
        "words": [f"a long text number {i}" for i in range(n)],
        "grid": [np.full((4, 3), i) for i in range(n)],
        "album": [[{"bytes": png(i), "path": None}] for i in range(n)],
        "about": [{"age": i} for i in range(n)],
        "nothing": [None] * n,
        "photo": [{"bytes": png(i), "path": None} for i in range(n)],
        "tags": [[i % 2] if i % 3 else [0, 1] for i in range(n)],
    }
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_feature_of_the_library_is_read_or_named(tmp_path, caplog):
    folder = str(of_every_feature(tmp_path / "saved"))
    from mmbench.datasets.huggingface import HuggingFace

    task = HuggingFace(path=folder, target="tags", image_size=8)
    check_dataset(task)
    kinds = {"words": "text", "grid": "series", "photo": "image"}
    assert dict(task.task.modalities) == kinds and task.task.outputs == ("red", "round")
    assert "album: not used: lists of files" in caplog.text
    assert "about: not used: records" in caplog.text and "nothing: not used" in caplog.text
    with pytest.raises(InvalidParameter, match=r"'photo' holds files \(image\)"):
        HuggingFace(path=folder, target="photo")
    with pytest.raises(UnusableData, match=r"no column to learn from .* 'album': lists of files"):
        HuggingFace(path=folder, target="tags", columns="album")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("inside", ["bytes", "records"])
def test_files_that_another_program_put_into_parquet(inside, tmp_path):
    pytest.importorskip("datasets")
    from mmbench.datasets.huggingface import HuggingFace

    def cells(contents: list[bytes]) -> list[object]:
        return contents if inside == "bytes" else [{"bytes": c, "path": None} for c in contents]

    sound = io.BytesIO()
    soundfile.write(sound, np.sin(np.arange(1600)), 16_000, format="WAV")
    pictures = cells([png(i) for i in range(30)])
    if inside == "records":
        pictures[4] = {"bytes": None, "path": None}
    table = {"photo": pictures, "heard": cells([sound.getvalue()] * 30), "label": ["a", "b"] * 15}
    pd.DataFrame(table).to_parquet(tmp_path / "train.parquet")
    task = HuggingFace(path=str(tmp_path), image_size=8)
    check_dataset(task)
    assert dict(task.task.modalities) == {"photo": "image", "heard": "audio"}
    missing = [int((task.load(p).columns["photo"].index == MISSING).sum()) for p in PARTS]
    assert sum(missing) == (inside == "records")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_column_that_training_rows_lack_is_not_read(tmp_path, caplog):
    datasets = pytest.importorskip("datasets")
    from mmbench.datasets.huggingface import HuggingFace

    more = labelled(20).add_column("height", [1.5 * i for i in range(20)])
    datasets.DatasetDict(train=labelled(40), test=more).save_to_disk(tmp_path / "saved")
    task = HuggingFace(path=str(tmp_path / "saved"))
    assert task.read.columns["table"].values.shape[1] == 1
    assert "not used, since only test has it: height" in caplog.text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_the_library_stumbled_over_is_named(tmp_path):
    pytest.importorskip("datasets")
    from mmbench.datasets.huggingface import HuggingFace

    for name in ("small", "large"):
        frame = pd.DataFrame({"size": [1.0, 2.0], "label": ["a", "b"]})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    configs = "".join(f"- config_name: {n}\n  data_files: {n}.csv\n" for n in ("small", "large"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    with pytest.raises(DataUnavailable, match=r"\['small', 'large'\].* task.config names one"):
        HuggingFace(path=str(tmp_path))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target_kind": "clasification"}, "Did you mean 'classification'"),
        ({"columns": "image,text"}, "no column 'text'"),
        ({"columns": "image,price"}, "names 'price', which is the target"),
        ({"target_kind": "retrieval"}, "it takes two, and here are image, my_text, my_text_"),
    ],
)
def test_what_is_asked_of_the_library_must_be_there(options, words, tmp_path):
    folder = str(things(tmp_path / "saved"))
    from mmbench.datasets.huggingface import HuggingFace

    with pytest.raises(InvalidParameter, match=words):
        HuggingFace(path=folder, **{"target": "price", **options})
