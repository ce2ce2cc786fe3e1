"""Explanations of single samples: parts against slow references, and the command as a whole."""

import json
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from mmbench.cli import main as cli
from mmbench.contracts import Encoder
from mmbench.datasets.synthetic import Synergy
from mmbench.explain.explanation import explain
from mmbench.explain.gradients import _scale, integrated_gradients
from mmbench.explain.locate import row_model
from mmbench.explain.parts import Explained, Part, in_parts, smoothed
from mmbench.explain.pictures import as_picture, picture
from mmbench.explain.subject import Subject, log_odds, log_probability
from mmbench.explain.terminal import coloured
from mmbench.features import prepare
from mmbench.final import evaluate_seed
from mmbench.model import build_model
from mmbench.plugins import Plugins, load_plugins
from mmbench.resolve import resolve
from mmbench.saved import SavedModel
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.trial import Workbench, fit_encoders
from mmbench.types import MISSING, Column, Encoded, Kind, Split, Task

CPU = torch.device("cpu")
TEXTS = ("a red dog", "the cat, no dog", "red red cat", "")


class Everything(Synergy):
    """Four kinds of modality, one of them missing in row 2."""

    name = "everything"
    kinds: ClassVar = {"photo": "image", "text": "text", "table": "tabular", "sensor": "series"}

    def __init__(self) -> None:
        super().__init__()
        self.task = Task(dict(self.kinds), "classification", ("cat", "dog", "cow"), "accuracy")

    def load(self, part: str) -> Split:
        draw = torch.Generator().manual_seed(len(part))
        table = torch.randn(4, 5, generator=draw)
        table[1, 2] = torch.nan
        sensor = torch.randn(4, 6, 2, generator=draw)
        sensor[1, 4:] = torch.nan
        photo = torch.randint(256, (4, 3, 16, 12), generator=draw, dtype=torch.uint8)
        return Split(
            {
                "photo": Column(photo),
                "text": Column(TEXTS),
                "table": Column(table, torch.tensor([0, 1, MISSING, 3])),
                "sensor": Column(sensor),
            },
            torch.tensor([0, 1, 2, 1]),
        )


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    found = Plugins()
    for registry, known in zip(found.registries, load_plugins().registries, strict=True):
        for cls in known.values():
            registry.add(cls, "test")
    found.datasets.add(Everything, "test")
    return found


@pytest.fixture(scope="module")
def saved(plugins: Plugins) -> SavedModel:
    """An untrained model: what it says is arbitrary, and to be explained all the same."""
    spec = TrialSpec(
        task=Component("everything"),
        encoders={
            "photo": Component("cnn"),
            "text": Component("gru"),
            "table": Component("mlp"),
            "sensor": Component("conv1d"),
        },
        fusion=Component("gated"),
        head=Component("mlp"),
    )
    resolved = resolve(spec, plugins)
    data = resolved.dataset.load("train")
    encoders = fit_encoders(resolved, data)
    return SavedModel(
        resolved.spec,
        build_model(resolved, encoders).eval(),
        prepare(data, encoders),
        resolved.task,
    )


def of(saved: SavedModel, row: int, plugins: Plugins) -> Subject:
    resolved = resolve(saved.spec, plugins)
    raw = resolved.dataset.load("test").rows(torch.tensor([row]))
    ready = prepare(raw, saved.model.encoders_by_modality)
    with torch.no_grad():
        scores = saved.model(ready).scores[0]
    return Subject(resolved, saved, row, raw, ready, int(scores.argmax()), scores)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_integrated_gradients_are_complete(row: int, saved: SavedModel, plugins: Plugins) -> None:
    found = integrated_gradients(of(saved, row, plugins))
    assert found is not None
    expected = {"photo", "sensor"} if row == 2 else {"photo", "table", "sensor"}
    assert found.values.keys() == expected
    moved = found.on_input - found.on_baseline
    assert abs(moved) > 1e-3 and abs(found.gap) < 0.02 * max(1.0, abs(moved))
    total = sum(float(v.sum()) for v in found.values.values())
    assert found.gap == pytest.approx(moved - total)


def test_what_is_empty_has_no_part_in_it(saved: SavedModel, plugins: Plugins) -> None:
    found = integrated_gradients(of(saved, 1, plugins))
    assert found is not None
    assert found.values["table"][2] == 0.0 and (found.values["sensor"][4:] == 0.0).all()
    assert (found.values["table"][[0, 1, 3, 4]] != 0.0).all()


def test_integrated_gradients_are_those_of_a_slow_sum(saved: SavedModel, plugins: Plugins) -> None:
    asked = of(saved, 0, plugins)
    found = integrated_gradients(asked)
    assert found is not None
    ends = {}
    for m in found.values:
        kept = saved.requests.columns[m]
        kept = kept.rows(torch.arange(len(kept))).values.float()
        ends[m] = (asked.ready.columns[m].values.float(), kept.nanmean(0, keepdim=True))
    sums = {m: torch.zeros_like(v) for m, v in found.values.items()}
    steps = 60
    for step in range(steps):
        at = (step + 0.5) / steps
        values = {m: (b + at * (x - b)).requires_grad_() for m, (x, b) in ends.items()}
        batch = asked.ready
        for m, value in values.items():
            batch = batch.with_column(m, Column(value))
        log_odds(saved.model(batch).scores, asked.output, "classification").sum().backward()
        for m, value in values.items():
            sums[m] += value.grad[0] / steps
    for m, (x, b) in ends.items():
        torch.testing.assert_close(found.values[m], sums[m] * (x - b)[0], rtol=0.02, atol=2e-3)


def test_words_are_left_out_of_the_text_itself(saved: SavedModel, plugins: Plugins) -> None:
    asked = of(saved, 1, plugins)
    found = explain(asked).modalities["text"]
    assert [p.label for p in found.parts] == ["the", "cat", ",", "no", "dog"]
    assert found.place == [0, 4, 7, 9, 12]
    for part, text in ((found.parts[1], "the , no dog"), (found.parts[2], "the cat no dog")):
        without = asked.ready.with_column("text", Column(asked.encoders["text"].prepare((text,))))
        with torch.no_grad():
            odds = [
                float(log_odds(saved.model(b).scores, asked.output, "classification"))
                for b in (asked.ready, without)
            ]
        assert part.value == pytest.approx(odds[0] - odds[1], abs=1e-5)


def test_modalities_share_the_log_probability(saved: SavedModel, plugins: Plugins) -> None:
    asked = of(saved, 2, plugins)
    found = explain(asked)
    assert sum(found.shapley.values()) == pytest.approx(found.answer - found.without, abs=1e-5)
    assert found.shapley["table"] == pytest.approx(0.0, abs=1e-6)  # missing already
    assert found.answer == pytest.approx(float(asked.scores.log_softmax(0).max()), abs=1e-5)
    assert "table" not in found.modalities and found.probability is not None
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["predicted"] in ("cat", "dog", "cow") and document["truth"] == "cow"
    assert document["texts"] == {"text": "red red cat"}


def test_a_text_without_words_has_no_parts(
    saved: SavedModel, plugins: Plugins, tmp_path: Path
) -> None:
    found = explain(of(saved, 3, plugins))
    assert found.modalities["text"].parts == []
    assert picture(found, tmp_path / "x.svg").read_text().startswith("<?xml")


def test_odds_and_probabilities() -> None:
    scores = torch.tensor([[1.0, 2.0, -0.5]])
    p = scores.softmax(1)[0, 1]
    assert log_probability(scores, 1, "classification").exp() == pytest.approx(float(p))
    assert float(log_odds(scores, 1, "classification")) == pytest.approx(
        float(torch.log(p / (1 - p)))
    )
    assert log_probability(scores, 2, "multilabel").exp() == pytest.approx(
        float(torch.sigmoid(torch.tensor(-0.5)))
    )
    assert log_odds(scores, 2, "multilabel") == log_odds(scores, 2, "regression") == -0.5


@pytest.mark.parametrize(
    ("kind", "shape", "parts", "label"),
    [
        ("image", (3, 20, 9), 64, "row 0, column 0"),
        ("image", (1, 4, 3), 12, "row 0, column 0"),
        ("tabular", (5,), 5, "field 0"),
        ("series", (6, 2), 6, "step 0"),
        ("series", (100, 2), 64, "segment 0"),
        ("audio", (1000,), 64, "segment 0"),
        ("audio", (2, 30), 30, "step 0"),
        ("video", (4, 3, 5, 5), 4, "step 0"),
    ],
)
def test_parts_add_up_to_the_whole(
    kind: Kind, shape: tuple[int, ...], parts: int, label: str
) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = in_parts(kind, values)
    assert len(found.parts) == parts and found.parts[0].label == label
    assert sum(p.value for p in found.parts) == pytest.approx(float(values.sum()), abs=1e-3)


class Bytes(Encoder):
    name, accepts = "bytes", "image"

    def __init__(self, divisor: float, whole_only: bool = False) -> None:
        super().__init__({})
        self.divisor, self.whole_only = divisor, whole_only

    def forward(self, inputs: Tensor) -> Encoded:
        if inputs.dtype == torch.uint8:
            inputs = inputs / self.divisor
        elif self.whole_only:
            inputs = inputs * 7
        return Encoded.vector(inputs.flatten(1).float())


def test_bytes_become_the_floating_point_numbers_that_an_encoder_reads_alike() -> None:
    values = torch.randint(1, 256, (1, 3, 4, 4), dtype=torch.uint8)
    assert _scale(Bytes(1), values) == 1.0 and _scale(Bytes(255), values) == 255.0
    assert _scale(Bytes(3, whole_only=True), values) is None
    assert _scale(Bytes(255), values.float()) == 1.0


def test_words_are_coloured_by_sign_and_weak_ones_are_not() -> None:
    explained = Explained(
        "text", "", [Part("a", 0.0), Part("red", 2.0), Part("dog", -1.0)], place=[0, 2, 6]
    )
    text = coloured("a red dog", explained)
    assert text.plain == "  a red dog"
    (red, dog) = (str(s.style) for s in text.spans)
    assert red == "on rgb(0,114,178) white" and "rgb(0," not in dog


def test_a_heat_map_keeps_its_size_and_nearly_its_sum() -> None:
    pixels = torch.zeros(40, 30)
    pixels[20, 15] = 1.0
    heat = smoothed(pixels)
    assert heat.shape == pixels.shape and float(heat.sum()) == pytest.approx(1.0, abs=1e-4)
    assert heat.argmax() == pixels.argmax()
    assert as_picture(torch.randn(1, 4, 5)).shape == (4, 5, 3)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmbench", "explain", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seed of a final evaluation, as a search leaves it."""
    spec = TrialSpec(
        task=Component("synergy", {"size": 200, "dim": 3}),
        encoders=dict.fromkeys("ab", Component("mlp")),
        fusion=Component("product"),
        head=Component("mlp"),
        train=TrainSpec(max_epochs=2),
    )
    home = tmp_path_factory.mktemp("runs")
    folder = home / "study" / "finals" / "0"
    evaluate_seed(spec, load_plugins(), Workbench(CPU), folder, diagnose=False)
    return home


def test_the_command_on_a_model(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = str(runs / "study" / "finals" / "0")
    assert run(monkeypatch, folder, "--sample", "7", "--out", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "test row 7" in shown and "field 2" in shown and "explanation.png" in shown
    (drawn,) = tmp_path.glob("explanations/*-7/explanation.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert run(monkeypatch, folder, "--sample", "7", "--json", "--out", str(tmp_path)) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(drawn.with_suffix(".json").read_text())
    assert document["shapley"].keys() == {"a", "b"} and len(document["parts"]["a"]["parts"]) == 3
    assert abs(document["completeness_gap"]) < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sample", "200"], "has 200 rows. Allowed: 0 to 199."),
        (["--sample", "-1"], "Allowed: 0 to 199."),
    ],
)
def test_a_sample_that_is_not_there(
    arguments: list[str],
    message: str,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = str(runs / "study" / "finals" / "0")
    assert run(monkeypatch, folder, *arguments, "--out", str(tmp_path)) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_folder_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, str(tmp_path)) == 2
    assert "holds no model" in capsys.readouterr().err


def test_a_rows_model_is_found_or_else_trained_once(runs: Path, tmp_path: Path) -> None:
    plugins, bench = load_plugins(), Workbench(CPU)
    spec = json.loads((runs / "study" / "finals" / "0" / "spec.json").read_text())
    told: list[str] = []
    row = type("Row", (), {"spec": spec, "seeds": [0]})()
    found = row_model(row, runs, plugins, bench, training=lambda: told.append("training"))
    assert found == runs / "study" / "finals" / "0" / "model" and not told
    again = [
        row_model(row, tmp_path, plugins, bench, training=lambda: told.append("training"))
        for _ in range(2)
    ]
    assert again[0] == again[1] and told == ["training"]
    assert (again[0] / "model.safetensors").read_bytes() == (
        found / "model.safetensors"
    ).read_bytes()
