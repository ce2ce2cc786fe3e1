"""The built-in tasks: rows, splits and hashes; the best accuracy of the generated ones."""

import itertools
import logging
import math

import numpy as np
import pytest
import torch

from mmbench.datasets import synthetic, vqa
from mmbench.datasets._generated import orthonormal, parity_accuracy, seen
from mmbench.datasets._package import Package
from mmbench.datasets._stored import digest
from mmbench.errors import DataUnavailable, InvalidParameter
from mmbench.testing import check_dataset
from mmbench.types import Split

GENERATED = {cls.name: cls for cls in synthetic.register_datasets()}
LARGE = 400_000


# Generated -----------------------------------------------------------------------------------


def values(split: Split, modality: str) -> torch.Tensor:
    found = split.columns[modality].values
    assert isinstance(found, torch.Tensor)
    return found


def projected(task: synthetic.Generated, split: Split, modality: str) -> torch.Tensor:
    """(rows, directions) of the values, at the marked step of a series."""
    shown, directions = values(split, modality), task.directions(modality)
    if shown.ndim == 3:
        steps = (shown @ directions[1]).argmax(1)
        shown = shown[torch.arange(len(shown)), steps]
    return shown @ directions.T


def bayes(task: synthetic.Generated, split: Split) -> torch.Tensor:
    """(rows,) the most probable class, by the posterior summed over all hidden bits."""
    bits = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=task.n_bits)))
    labels = task.label(bits)
    log_likelihood = torch.zeros(len(split), len(bits))
    silent = torch.Generator()
    quiet = type(task)(noise=1e-9, dim=task.dim)
    for modality in task.modalities:
        shown = quiet.show(modality, bits, silent)
        if shown.ndim == 3:
            shown = shown.sum(1)
        means = shown @ task.directions(modality).T  # (hidden, directions)
        seen_here = projected(task, split, modality)
        distance = (seen_here.unsqueeze(1) - means).square().sum(-1)
        log_likelihood -= distance / (2 * task.noise**2)
    posterior = log_likelihood.softmax(1)
    classes = torch.zeros(len(split), task.n_classes).index_add_(1, labels, posterior)
    return classes.argmax(1)


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize(("noise", "label_noise"), [(0.5, 0.0), (1.2, 0.2)])
def test_the_optimum_is_what_the_bayes_rule_reaches(name, noise, label_noise):
    shape = {"dim": 3, "time": 2} if name == "synergy-tokens" else {"dim": 3}
    rows = LARGE if noise > 1 else LARGE // 4
    task = GENERATED[name](noise=noise, label_noise=label_noise, size=rows, **shape)
    split = task.load("test")
    right = (bayes(task, split) == split.target).double().mean().item()
    optimum = task.task.optimum
    assert abs(right - optimum) < 4 * math.sqrt(optimum * (1 - optimum) / rows), (right, optimum)


def test_closed_forms_by_hand():
    assert seen(0.0) == 0.5
    assert seen(2.0) == pytest.approx(0.9772498680518208)
    p = 0.9
    assert parity_accuracy(p, 2) == pytest.approx(p**2 + (1 - p) ** 2)
    assert parity_accuracy(p, 3) == pytest.approx(p**3 + 3 * p * (1 - p) ** 2)
    assert synthetic.Unique().task.optimum == pytest.approx(seen(2.0))
    assert synthetic.Redundant().task.optimum == pytest.approx(seen(math.sqrt(3)))
    assert synthetic.Synergy(label_noise=0.1).task.optimum == pytest.approx(
        0.9 * parity_accuracy(seen(2), 2) + 0.1 * (1 - parity_accuracy(seen(2), 2))
    )


def linear_accuracy(train: Split, test: Split, modalities: list[str]) -> float:
    """Of a least-squares classifier on the values laid side by side."""

    def design(split: Split) -> torch.Tensor:
        flat = [values(split, m).flatten(1) for m in modalities]
        return torch.cat([*flat, torch.ones(len(split), 1)], dim=1)

    classes = torch.eye(int(train.target.max()) + 1)[train.target]
    weights = torch.linalg.lstsq(design(train), classes).solution
    return ((design(test) @ weights).argmax(1) == test.target).double().mean().item()


@pytest.mark.parametrize("name", ["synergy", "synergy-3", "synergy-tokens"])
def test_synergy_is_at_chance_without_all_modalities(name):
    """With all but one modality, even products of the true projections say nothing."""
    task = GENERATED[name](size=20_000)
    train, test = task.load("train"), task.load("test")
    for modality in task.modalities:
        assert linear_accuracy(train, test, [modality]) == pytest.approx(0.5, abs=0.02)
        others = [m for m in task.modalities if m != modality]
        parity = torch.stack([projected(task, test, m)[:, 0] for m in others]).prod(0) < 0
        assert (parity.long() == test.target).double().mean() == pytest.approx(0.5, abs=0.02)
    assert linear_accuracy(train, test, list(task.modalities)) == pytest.approx(0.5, abs=0.02)


def test_unique_and_redundant_say_what_they_claim():
    unique = synthetic.Unique(size=20_000)
    train, test = unique.load("train"), unique.load("test")
    assert linear_accuracy(train, test, ["a"]) == pytest.approx(unique.task.optimum, abs=0.01)
    assert linear_accuracy(train, test, ["b"]) == pytest.approx(0.5, abs=0.02)
    redundant = synthetic.Redundant(size=20_000)
    train, test = redundant.load("train"), redundant.load("test")
    for modality in "abc":
        assert linear_accuracy(train, test, [modality]) == pytest.approx(seen(1.0), abs=0.01)
    together = linear_accuracy(train, test, ["a", "b", "c"])
    assert together == pytest.approx(redundant.task.optimum, abs=0.01)


def test_mix_has_eight_even_classes_and_each_modality_some_of_them():
    task = synthetic.Mix(size=20_000)
    train, test = task.load("train"), task.load("test")
    assert train.target.bincount() / len(train) == pytest.approx(torch.full((8,), 0.125), abs=0.01)
    alone = [linear_accuracy(train, test, [m]) for m in "ab"]
    assert alone[0] == pytest.approx(0.5 * seen(2.0) ** 2, abs=0.02)  # shared, unique; parity not
    assert alone[1] == pytest.approx(0.25 * seen(2.0), abs=0.02)  # shared only


@pytest.mark.parametrize("name", GENERATED)
def test_generated_tasks_keep_the_contract(name):
    check_dataset(GENERATED[name](size=40))


@pytest.mark.parametrize("name", GENERATED)
def test_generated_parts_repeat_and_differ(name):
    task, again = GENERATED[name](size=40), GENERATED[name](size=40)
    sources = []
    for part, rows in (("train", 40), ("val", 10), ("test", 40)):
        split, repeat = task.load(part), again.load(part)
        assert len(split) == rows
        assert list(split.columns) == list(task.task.modalities)
        assert torch.equal(split.target, repeat.target)
        for modality in split.columns:
            assert torch.equal(values(split, modality), values(repeat, modality))
        sources.append(split.source)
    assert torch.equal(torch.cat(sources), torch.arange(90))
    modality = next(iter(task.modalities))
    train, test = (values(task.load(part), modality) for part in ("train", "test"))
    assert not torch.equal(train, test)
    state = torch.get_rng_state()
    task.load("train")
    assert torch.equal(state, torch.get_rng_state())


def test_version_and_task_follow_the_parameters():
    plain, other = synthetic.Synergy(), synthetic.Synergy(noise=1.0)
    assert plain.version != other.version
    assert plain.task.optimum > other.task.optimum
    assert synthetic.SynergyTokens(time=4).version != synthetic.SynergyTokens().version
    assert synthetic.SynergyTokens(time=4, size=8).load("train").columns["a"].values.shape == (
        8,
        4,
        8,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise": 0.0}, {"label_noise": 0.5}, {"dim": 2}, {"size": 3}, {"dim": 2**20},
        {"size": 10**12}, {"size": 2**20, "dim": 2**12},
    ],
)  # fmt: skip
def test_parameters_without_meaning_are_refused(wrong):
    with pytest.raises(InvalidParameter, match=f"mix.{next(iter(wrong))} = .*Allowed"):
        synthetic.Mix(**wrong)
    with pytest.raises(InvalidParameter, match="time"):
        synthetic.SynergyTokens(time=0)


def test_directions_are_orthonormal():
    found = orthonormal(3, 5, torch.Generator().manual_seed(0))
    assert torch.allclose(found @ found.T, torch.eye(3), atol=1e-6)


# vqa -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """One cache for this file, so that images are decoded once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMBENCH_CACHE", str(folder))
        yield folder / "data" / "easy-vqa-1.0"


@pytest.fixture(scope="module")
def parts(cache):
    return {part: vqa.VQA().load(part) for part in ("train", "val", "test")}


def test_vqa_has_every_question_and_image(parts):
    rows = {part: len(split) for part, split in parts.items()}
    assert rows["train"] + rows["val"] == 38_575
    assert rows["test"] == 9_673
    images = {part: split.columns["image"].values for part, split in parts.items()}
    assert {part: tuple(i.shape) for part, i in images.items()} == {
        "train": (3600, 3, 64, 64),
        "val": (400, 3, 64, 64),
        "test": (1000, 3, 64, 64),
    }
    assert all(i.dtype == torch.uint8 for i in images.values())
    for split in parts.values():
        questions = split.columns["question"].values
        assert len(set(questions)) == len(questions) <= 107
        assert int(split.columns["question"].index.max()) == len(questions) - 1


def test_vqa_parts_share_no_image(parts):
    sources = {part: set(split.source.tolist()) for part, split in parts.items()}
    assert len(sources["train"] | sources["val"]) == 4000
    assert len(sources["train"] | sources["val"] | sources["test"]) == 5000
    assert sources["val"] == set(vqa.shuffled_images()[: vqa.VALIDATION_IMAGES])
    assert min(sources["test"]) == 4000


def test_vqa_with_fewer_train_images_keeps_what_it_is_judged_by(parts):
    fewer = {n: vqa.VQA(train_images=n) for n in (50, 200)}
    images = {n: set(v.load("train").source.tolist()) for n, v in fewer.items()}
    assert {n: len(i) for n, i in images.items()} == {50: 50, 200: 200}
    assert images[50] < images[200] < set(parts["train"].source.tolist())
    for part in ("val", "test"):
        assert fewer[50].load(part).source.equal(parts[part].source)
    versions = {v.version for v in (*fewer.values(), vqa.VQA())}
    assert len(versions) == 3, "rows of different training data are never compared"


@pytest.mark.parametrize("images", [0, 3601])
def test_vqa_says_how_many_train_images_there_are(images):
    with pytest.raises(InvalidParameter, match=f"train_images = {images}.*1 to 3600"):
        vqa.VQA(train_images=images)


def test_vqa_rows_are_those_of_the_package(parts):
    import json

    from PIL import Image

    for part, official, offset in (("train", "train", 0), ("test", "test", 4000)):
        entries = json.loads(vqa.PACKAGE.read(f"data/{official}/questions.json"))
        split = parts[part]
        mine = set(split.source.tolist())
        kept = [entry for entry in entries if entry[2] + offset in mine]
        for row in (0, 17, len(split) - 1):
            question, answer, number = kept[row]
            column = split.columns["question"]
            assert column.values[column.index[row]] == question
            assert vqa.VQA.task.outputs[split.target[row]] == answer
            assert split.source[row] == number + offset
            with Image.open(
                vqa.PACKAGE.folder() / "data" / official / "images" / f"{number}.png"
            ) as image:
                pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            assert torch.equal(
                split.columns["image"].values[split.columns["image"].index[row]], pixels
            )


def test_vqa_question_types(parts):
    assert set(vqa.VQA.task.outputs) == set(vqa.PACKAGE.read("data/answers.txt").decode().split())
    for split in parts.values():
        column = split.columns["question"]
        for index, kind in zip(
            column.index[:500].tolist(), split.slices["question_type"], strict=False
        ):
            asked = column.values[index]
            if kind == "yes/no":
                assert asked.startswith(("is ", "does "))
            else:
                assert asked.startswith("what ")
                assert (kind == "color") == ("what color" in asked or "the color" in asked)


def test_a_damaged_cache_is_decoded_again_and_said(parts, cache, caplog):
    path = cache / "test.npy"
    good = path.read_bytes()
    changed = bytearray(good)
    changed[-1] ^= 1
    for damage in (b"", b"not an array", good[: len(good) // 2], bytes(changed)):
        path.write_bytes(damage)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            pixels = vqa._pixels("test")
        assert "damaged; making them again" in caplog.text
        assert digest(pixels) == vqa.PIXELS["test"]
        assert path.read_bytes() == good
    assert sorted(p.name for p in cache.iterdir()) == ["test.npy", "train.npy"]


def test_vqa_loads_without_a_cache_that_can_be_written(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert len(vqa.VQA().load("test")) == 9_673
    assert "Cannot cache data" in caplog.text


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    task = vqa.VQA()  # naming and describing the task needs no data
    with pytest.raises(DataUnavailable, match=r"pip install easy-vqa==1\.0"):
        task.load("train")


def test_a_package_with_other_data_is_refused(tmp_path, monkeypatch):
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "questions.json").write_text('[["is it?", "yes", 0]]')
    monkeypatch.setattr(Package, "folder", lambda _: tmp_path)
    with pytest.raises(DataUnavailable, match=r"easy-vqa 1\.0 does not hold.*train/questions.json"):
        vqa.VQA().load("train")
    with pytest.raises(DataUnavailable, match=r"test/questions.json"):
        vqa.VQA().load("test")
    with pytest.raises(DataUnavailable, match="the images of train"):
        vqa._decode("train")


def test_search_parts_never_read_test(parts, cache, monkeypatch):
    read: list[str] = []
    original = Package.read
    monkeypatch.setattr(Package, "read", lambda p, name: read.append(name) or original(p, name))
    vqa.VQA().load("val")
    assert read == ["data/train/questions.json"]


def test_vqa_keeps_the_contract(parts):
    check_dataset(vqa.VQA())
