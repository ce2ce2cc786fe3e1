"""The feature cache: streamed to files, mapped, computed once, verified, bounded, listed."""

import inspect
import json
import logging
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from memory_limited import in_own_process
from torch import Tensor, nn
from typer.testing import CliRunner

from mmbench.cli.main import app
from mmbench.contracts import Encoder
from mmbench.datasets.synthetic import Synergy
from mmbench.errors import DataUnavailable, InvalidParameter, StorageError
from mmbench.feature_cache import FeatureCache, damage, remove
from mmbench.features import (
    code_digest,
    content_digest,
    encode_in_batches,
    encodings,
    precompute,
    strangers_code,
    weights,
)
from mmbench.model import FusionModel
from mmbench.plugins import load_plugins
from mmbench.resolve import resolve
from mmbench.spec import Component, TrialSpec
from mmbench.trial import Workbench, data_key, ready, train_trial
from mmbench.types import Column, Encoded, Split


class Counting(Encoder):
    """A frozen projection that appends a line to a file at every call."""

    name = "counting"
    accepts = "tabular"
    frozen = True
    diary: Path | None = None

    def __init__(self, fitted, *, seed: int = 0) -> None:
        super().__init__(fitted)
        torch.manual_seed(seed)
        self.project = nn.Linear(4, 3).requires_grad_(False)
        self.out_dim = 3

    def forward(self, inputs: Tensor) -> Encoded:
        if self.diary is not None:
            with self.diary.open("a") as file:
                file.write("ran\n")
        return Encoded.vector(self.project(inputs))


def encoder(tmp_path: Path, **params: int) -> Counting:
    made = Counting({"shape": [4]}, **params)
    made.diary = tmp_path / "diary"
    return made


def runs(tmp_path: Path) -> int:
    diary = tmp_path / "diary"
    return len(diary.read_text().splitlines()) if diary.exists() else 0


VALUES = torch.arange(24.0).reshape(6, 4)
KEY = {"data": '["x",{},"1"]', "part": "train", "modality": "a", "encoder": "counting"}


def ask(cache: FeatureCache, made: Encoder, key=KEY, size: int = 4) -> Encoded:
    encode = partial(encodings, made, VALUES, size=size)
    return cache.get_or_compute(key, len(VALUES), encode)


def test_features_are_computed_once_and_are_the_encoders_own(tmp_path: Path) -> None:
    cache, made = FeatureCache(tmp_path / "cache"), encoder(tmp_path)
    first, second = ask(cache, made), ask(cache, made)
    assert runs(tmp_path) == 2, "six values, four at a time, once"
    live = encode_in_batches(made, VALUES)
    for kept in (first, second):
        assert torch.equal(kept.pooled, live.pooled)
        assert torch.equal(kept.tokens, live.tokens) and torch.equal(kept.mask, live.mask)


def test_the_parts_of_a_frozen_encoder_are_not_visited_at_each_change_of_mode(
    tmp_path: Path,
) -> None:
    class Part(nn.Linear):
        visits = 0

        def train(self, mode: bool = True) -> "Part":
            Part.visits += 1
            return super().train(mode)

    made = encoder(tmp_path)
    made.project = Part(4, 3).requires_grad_(False)
    model = FusionModel({"a": made}, nn.Dropout(), None, {})
    for _ in range(5):
        assert model.train().fusion.training and not made.project.training
        assert not model.eval().fusion.training and not made.project.training
    assert Part.visits == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_type_comes_back_as_it_was(tmp_path: Path, dtype: torch.dtype) -> None:
    features = Encoded(torch.randn(5, 2, 3).to(dtype), torch.rand(5, 2) > 0.5)
    halves = [features[:2], features[2:]]
    kept = FeatureCache(tmp_path).get_or_compute(KEY, 5, lambda _: iter(halves))
    assert kept.tokens.dtype == kept.pooled.dtype == dtype
    for name in ("tokens", "mask", "pooled"):
        assert torch.equal(getattr(kept, name), getattr(features, name))


@pytest.mark.parametrize("name", ["tokens.npy", "mask.npy", "about.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "rubbish", "gone"])
def test_a_corrupt_file_is_rebuilt_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: str
) -> None:
    cache, made = FeatureCache(tmp_path / "cache"), encoder(tmp_path)
    good = ask(cache, made).pooled.clone()
    path = cache.path(KEY) / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2 if name == "about.json" else -1] ^= 0xFF
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"flip": content, "cut": content[:-9], "empty": b"", "rubbish": b"no"}[harm]
        )
    assert [damage(e) is None for e in cache.entries()] == [False]
    with caplog.at_level(logging.WARNING):
        again = ask(cache, made)
    assert "corrupt" in caplog.text and runs(tmp_path) == 4
    assert torch.equal(again.pooled, good)


def test_no_bit_of_what_describes_the_features_goes_over_unseen(tmp_path: Path) -> None:
    """Of half precision, which numpy does not know: the description alone tells it."""
    cache, features = FeatureCache(tmp_path), Encoded.vector(torch.ones(6, 4).bfloat16())
    cache.get_or_compute(KEY, 6, lambda _: iter([features]))
    path = cache.path(KEY) / "about.json"
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        (entry,) = cache.entries()
        assert damage(entry) is not None, f"byte {at}"


@pytest.mark.parametrize("part", ["key", "dtypes", "sha256"])
@pytest.mark.parametrize("value", [None, ["x"], {}, {"params": None}])
def test_a_description_of_another_form_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, value: object
) -> None:
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))
    cache, made = FeatureCache(tmp_path / "features"), encoder(tmp_path)
    ask(cache, made)
    path = cache.path(KEY) / "about.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: value}))
    assert command("list")[0] == 0 and command("verify")[0] == 1
    another = FeatureCache(cache.root)  # as another process would have it
    assert len(ask(another, made)) == 6 and command("verify")[0] == 0


def test_a_file_in_the_place_of_an_entry_makes_room_for_it(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    cache.path(KEY).parent.mkdir(parents=True)
    cache.path(KEY).write_text("")
    assert len(ask(cache, encoder(tmp_path))) == 6


def test_what_may_not_be_deleted_is_left_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of another user in a shared folder."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))
    filled(FeatureCache(tmp_path / "features"), "theirs")
    monkeypatch.setattr("mmbench.feature_cache.FileLock", refused)
    code, output = command("clear")
    assert code == 0 and "0 entries removed" in output and "1 in use, or of another" in output


def test_content_is_checked_once_in_each_process_and_after_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []
    real = __import__("mmbench.feature_files", fromlist=["x"]).check_content
    monkeypatch.setattr(
        "mmbench.feature_cache.check_content", lambda p: (checks.append(p), real(p))
    )
    ask(FeatureCache(tmp_path), encoder(tmp_path))
    another = FeatureCache(tmp_path)  # as another process would have it
    for _ in range(3):
        ask(another, encoder(tmp_path))
    assert len(checks) == 1
    array = another.path(KEY) / "tokens.npy"
    os.utime(array, (1, 1))
    ask(another, encoder(tmp_path))
    assert len(checks) == 2


def test_other_weights_are_other_features(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache")
    split = Split({"a": Column(VALUES)}, torch.zeros(6))
    pooled = [
        precompute(split, {"a": encoder(tmp_path, seed=s)}, cache, {"a": KEY})
        .columns["a"]
        .values.pooled
        for s in (0, 1, 0)
    ]
    assert not torch.equal(pooled[0], pooled[1]) and torch.equal(pooled[0], pooled[2])
    assert runs(tmp_path) == 2
    assert weights(encoder(tmp_path, seed=0)) != weights(encoder(tmp_path, seed=1))


def test_weights_are_digested_once_and_after_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def digest(state: Mapping[str, Tensor]) -> str:
        taken.append(content_digest(state))
        return taken[-1]

    monkeypatch.setattr("mmbench.features.content_digest", digest)
    made = encoder(tmp_path)
    first = weights(made)
    assert weights(made) == first and len(taken) == 1
    with torch.no_grad():
        made.project.weight[0, 0] += 1
    assert weights(made) != first and len(set(taken)) == 2


def test_other_code_is_other_features() -> None:
    from mmbench.encoders.cnn import CNN
    from mmbench.encoders.patches import Patches

    assert len({code_digest(c) for c in (Counting, CNN, Patches)}) == 3


@pytest.mark.parametrize(
    ("edited", "touched"),
    [("_image", ["hog", "cnn"]), ("_words", ["tfidf"]), ("_length", ["tfidf"])],
)
def test_other_code_of_a_helper_is_other_features(
    monkeypatch: pytest.MonkeyPatch, edited: str, touched: list[str]
) -> None:
    """Of one that a class is built on, and of one whose functions it calls."""
    from mmbench.encoders.cnn import CNN
    from mmbench.encoders.hog import HistogramOfGradients
    from mmbench.encoders.tabular import Vector
    from mmbench.encoders.tfidf import TfIdf

    encoders = (HistogramOfGradients, CNN, TfIdf, Vector)
    before = [code_digest(c) for c in encoders]
    real = inspect.getsource
    monkeypatch.setattr(
        inspect,
        "getsource",
        lambda m: real(m) + "#" * (m.__name__ == f"mmbench.encoders.{edited}"),
    )
    after = [code_digest.__wrapped__(c) for c in encoders]
    found = [c.name for c, a, b in zip(encoders, before, after, strict=True) if a != b]
    assert found == touched


def test_the_digest_of_code_is_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of names have another order in each."""
    modules = ["mmbench.types", "mmbench.errors", "mmbench.features"]
    monkeypatch.setattr("mmbench.features._with_helpers", lambda _: modules)
    first = code_digest.__wrapped__(Counting)
    modules.reverse()
    assert code_digest.__wrapped__(Counting) == first


STRANGERS = """
from mmbench.api import Encoder
from strangers.sound.constants import RATE

class Strange(Encoder):
    name, accepts = "strange", "tabular"
"""


def test_other_code_anywhere_in_a_plugin_is_other_features(tmp_path: Path) -> None:
    """A number from another folder of it, which leaves no trace in the encoder's own module."""
    package = tmp_path / "strangers"
    (package / "sound").mkdir(parents=True)
    (package / "__init__.py").write_text(STRANGERS)
    digests = []
    for text in ("RATE = 8000", "RATE = 16000", "RATE = 8000"):
        (package / "sound" / "constants.py").write_text(text)
        code = (
            "from mmbench.features import code_digest; from strangers import Strange;"
            "print(code_digest(Strange))"
        )
        paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        done = subprocess.run(
            [sys.executable, "-B", "-c", code],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.append(done.stdout)
    assert digests[0] != digests[1] and digests[0] == digests[2]


def test_a_plugins_data_go_by_its_code_and_built_in_ones_by_their_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugins = load_plugins()
    c = Component
    spec = TrialSpec(c("synergy"), {"a": c("mlp")}, c("only"), c("linear"))
    resolved = resolve(spec, plugins)
    strange = replace(resolved, dataset=Strange())
    keys = [data_key(resolved), data_key(strange)]
    real = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda module: real(module) + "# edited")
    strangers_code.cache_clear()  # as in another process
    assert [data_key(resolved) == keys[0], data_key(strange) == keys[1]] == [True, False]


class Strange(Synergy):
    """Written outside mmbench."""


def one_of_many(root: Path) -> None:
    torch.set_num_threads(1)
    ask(FeatureCache(root / "cache"), encoder(root), size=6)


def test_of_many_processes_one_computes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["memory_limited"])
    processes = [context.Process(target=one_of_many, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0, 0, 0]
    assert runs(tmp_path) == 1


class Asked(BaseException):
    """To stop."""


def test_who_waits_for_the_features_of_another_may_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can take many minutes: whoever is asked to stop would be killed before they are done."""
    cache, made = FeatureCache(tmp_path / "cache"), encoder(tmp_path)
    monkeypatch.setattr("mmbench.feature_cache.WAIT_SECONDS", 0.01)

    def stop() -> None:
        raise Asked

    path = cache.path(KEY)
    path.parent.mkdir(parents=True)
    encode = partial(encodings, made, VALUES)
    with FileLock(path.with_name(f"{path.name}.lock")), pytest.raises(Asked):
        cache.get_or_compute(KEY, len(VALUES), encode, stop)
    assert runs(tmp_path) == 0 and len(ask(cache, made)) == 6


def test_a_trial_is_left_while_its_features_are_computed(tmp_path: Path) -> None:
    c = Component
    spec = TrialSpec(c("unique", {"size": 200}), {"a": c("vector")}, c("only"), c("linear"))

    def stop() -> None:
        raise Asked

    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path), between_steps=stop)
    with pytest.raises(Asked):
        train_trial(spec, load_plugins(), bench, on_built=lambda *_: None)
    assert FeatureCache(tmp_path).entries() == [], "no training has begun"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="MMBENCH_CACHE"):
        ask(FeatureCache(tmp_path / "file" / "cache"), encoder(tmp_path))


def test_nothing_is_left_of_what_could_not_be_finished(tmp_path: Path) -> None:
    def breaks(_: int) -> Iterator[Encoded]:
        yield Encoded.vector(torch.ones(2, 3))
        yield Encoded.vector(torch.ones(2, 7))

    cache = FeatureCache(tmp_path)
    with pytest.raises(ValueError, match="pads to one length"):
        cache.get_or_compute(KEY, 4, breaks)
    assert cache.entries() == []
    assert len(ask(cache, encoder(tmp_path))) == 6


def test_what_is_to_be_encoded_and_cannot_be_read_is_not_the_caches_fault(tmp_path: Path) -> None:
    def unreadable(_: int) -> Iterator[Encoded]:
        yield Encoded.vector(torch.ones(2, 3))
        raise PermissionError("photo.png is another's")

    cache = FeatureCache(tmp_path)
    with pytest.raises(DataUnavailable, match=r"encoded cannot be read: photo\.png is another's"):
        cache.get_or_compute(KEY, 4, unreadable)
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("error", "asked"), [(MemoryError("none left"), [3, 1]), (RuntimeError("a bug"), [3])]
)
def test_an_encoder_that_fails_for_every_size_of_batch_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, asked: list[int]
) -> None:
    sizes = []

    def fails(_encoder: object, _inputs: Tensor, at_once: int) -> Encoded:
        sizes.append(at_once)
        raise error

    monkeypatch.setattr("mmbench.features.encode_in_pieces", fails)
    with pytest.raises(type(error), match=str(error)):
        list(encodings(encoder(tmp_path), VALUES, size=3))
    assert sizes == asked


def stops_before(batch: int) -> Callable[[], None]:
    """What is asked between batches: it raises before this one."""
    left = iter(range(batch))

    def ask() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return ask


@pytest.mark.parametrize(
    ("harm", "computed"), [(None, 1), ("cut", 3), ("killed", 3), ("finished", 0)]
)
def test_what_was_computed_before_a_stop_is_not_computed_again(
    tmp_path: Path, harm: str | None, computed: int
) -> None:
    cache, made = FeatureCache(tmp_path / "cache"), encoder(tmp_path)
    encode = partial(encodings, made, VALUES, size=2, between_batches=stops_before(2))
    with pytest.raises(KeyboardInterrupt):
        cache.get_or_compute(KEY, len(VALUES), encode)
    (left,) = (entry.path for entry in cache.entries())
    assert runs(tmp_path) == 2 and not cache.path(KEY).exists(), "no reader takes it for whole"
    if harm == "cut":
        (left / "mask.npy").write_bytes((left / "mask.npy").read_bytes()[:-1])
    elif harm == "killed":
        (left / "about.json").unlink()
    elif harm == "finished":  # all but the last step
        ask(cache, made, size=2)
        cache.path(KEY).rename(left)
    before = runs(tmp_path)
    kept = ask(cache, made, size=2)
    assert runs(tmp_path) == before + computed
    assert torch.equal(kept.pooled, encode_in_batches(made, VALUES).pooled)
    assert [damage(entry) for entry in cache.entries()] == [None]


def test_who_is_to_stop_does_so_between_batches_of_a_frozen_encoder(tmp_path: Path) -> None:
    c = Component
    spec = TrialSpec(c("synergy"), {"a": c("mlp")}, c("only"), c("linear"))
    resolved = resolve(spec, load_plugins())
    bench = Workbench(
        torch.device("cpu"), FeatureCache(tmp_path / "cache"), between_steps=stops_before(1)
    )
    rows = Split({"a": Column(torch.zeros(100, 4))}, torch.zeros(100))
    with pytest.raises(KeyboardInterrupt):
        ready(rows, "train", resolved, {"a": encoder(tmp_path)}, bench)
    assert runs(tmp_path) == 1


# larger than memory


@pytest.mark.parametrize("encoder", ["cells", "live-cells"])
def test_a_data_set_twice_as_large_as_the_memory_is_trained_on(
    tmp_path: Path, encoder: str
) -> None:
    found = in_own_process(64, 132, tmp_path, encoder)
    assert found["score"] > 0.9
    assert found.get("without"), "all of it at once fits as well: nothing is shown"
    assert (found["features_mib"] > 128) == (encoder == "cells")


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["cells", "live-cells"])
def test_memory_is_flat_whatever_the_size(tmp_path: Path, encoder: str) -> None:
    """Ten times the data within the same limit."""
    small = in_own_process(64, 128, tmp_path / "small", encoder)
    large = in_own_process(64, 1280, tmp_path / "large", encoder)
    print(f"\n{encoder}: {small}\n{large}")
    assert large["score"] > 0.9
    assert large["anonymous_mib"] < small["anonymous_mib"] + 32


# bounded


def filled(cache: FeatureCache, *names: str) -> None:
    """Entries used in this order, a second apart."""
    for time, name in enumerate(names, start=1):
        key = {"data": name}
        cache.get_or_compute(key, 100, lambda _: iter([Encoded.vector(torch.zeros(100, 30))]))
        os.utime(cache.path(key) / "about.json", (time, time))


def kept(cache: FeatureCache) -> set[str]:
    return {str(e.key["data"]) for e in cache.entries() if e.key}


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    filled(FeatureCache(tmp_path), "first", "second", "third")
    size = FeatureCache(tmp_path).entries()[0].nbytes
    cache = FeatureCache(tmp_path, limit=3 * size + size // 2)
    ask_again = {"data": "first"}  # no longer the one that was used longest ago
    cache.get_or_compute(ask_again, 100, lambda _: pytest.fail("it is there"))
    filled(cache, "fourth")
    assert kept(cache) == {"first", "third", "fourth"}
    assert sum(e.nbytes for e in cache.entries()) <= 3.5 * size


def test_features_larger_than_the_limit_are_refused_with_the_setting_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMBENCH_CACHE_GIB", "0.00001")
    cache = FeatureCache(tmp_path)
    with pytest.raises(StorageError, match=r"may hold 1e-05 GiB.*MMBENCH_CACHE_GIB"):
        filled(cache, "large")
    assert cache.entries() == []
    monkeypatch.setenv("MMBENCH_CACHE_GIB", "plenty")
    with pytest.raises(InvalidParameter, match="plenty"):
        filled(cache, "large")


def test_what_is_mapped_outlives_its_eviction(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    features = ask(cache, encoder(tmp_path))
    before = features.pooled.clone()
    assert all(remove(e) for e in cache.entries()) and cache.entries() == []
    assert torch.equal(features.pooled, before)


def test_leftovers_are_dropped_before_anything_else(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    filled(cache, "good")
    folder = cache.path({"data": "good"}).parent
    (folder / "ab.part").mkdir()
    (folder / "ab.part" / "tokens.npy").write_bytes(b"x" * 1000)
    (folder / "cd.safetensors").write_bytes(b"x" * 1000)
    assert len(cache.entries()) == 3
    good = next(e.nbytes for e in cache.entries() if e.key)
    FeatureCache(tmp_path, limit=good).make_room(0)
    assert kept(cache) == {"good"} and len(cache.entries()) == 1


# commands


def command(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["cache", *arguments])
    return done.exit_code, done.output


def test_the_cache_is_listed_verified_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))
    assert command("list")[1].startswith("0 entries")
    cache = FeatureCache(tmp_path / "features")
    ask(cache, encoder(tmp_path))
    filled(cache, "second")
    assert "x/train  a:counting()" in command("list")[1]
    listed = json.loads(command("list", "--json")[1])
    assert listed["bytes"] == sum(e["bytes"] for e in listed["entries"]) <= listed["limit"]
    assert command("verify")[0] == 0
    array = cache.path(KEY) / "tokens.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"!")
    code, output = command("verify", "--json")
    assert code == 1 and [p["problem"] is None for p in json.loads(output)].count(False) == 1
    assert command("clear", cache.path(KEY).name[:8])[0] == 0
    assert kept(cache) == {"second"} and command("verify")[0] == 0
    assert "1 entries removed" in command("clear")[1] and cache.entries() == []


def test_the_digest_sees_names_shapes_types_and_bytes() -> None:
    base = {"x": torch.zeros(2, 3)}
    others = [
        {"y": torch.zeros(2, 3)},
        {"x": torch.zeros(3, 2)},
        {"x": torch.zeros(2, 3, dtype=torch.float64)},
        {"x": torch.tensor([[0.0, 0, 0], [0, 0, 1e-30]])},
    ]
    assert len({content_digest(d) for d in (base, *others)}) == 5
    assert content_digest(base) == content_digest({"x": torch.zeros(3, 2).T.contiguous()})
    two = base | others[0]
    assert content_digest(two) == content_digest(dict(reversed(two.items())))
