"""A trained model taken away: it answers raw values as it answered the loaded part."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mmbench import load_model
from mmbench.errors import DataUnavailable, InvalidParameter, StorageError, UnusableData
from mmbench.exporting import export_model
from mmbench.features import prepare
from mmbench.plugins import load_plugins
from mmbench.predicting import Predictor
from mmbench.saved import save_model
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.tables.options import TableOptions
from mmbench.tables.prepared import prepare_anew
from mmbench.trial import Trained, Workbench, train_trial

CPU = torch.device("cpu")
ENCODERS = {"image": "cnn", "text": "bag-of-words", "tabular": "mlp", "series": "conv1d"}


def table(folder: Path, n: int = 60) -> Path:
    draw, rows = np.random.default_rng(0), []
    for i in range(n):
        pixels = draw.integers(0, 255, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((20, 20)).save(folder / f"{i}.png")
        rows.append(
            {
                "photo": f"{i}.png" if i % 5 else None, "note": f"a note on number {i % 9} here",
                "size": None if i == 3 else i % 4, "breed": "abc"[i % 3],
                "walk": " ".join(map(str, draw.integers(0, 9, 4 + i % 2))), "price": 10.0 * i,
            }
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def trained(task: Component, fusion: str = "concat") -> Trained:
    plugins = load_plugins()
    from mmbench.resolve import resolve_dataset

    modalities = resolve_dataset(task, plugins)[1].task.modalities
    spec = TrialSpec(
        task=task,
        encoders={m: Component(ENCODERS[kind]) for m, kind in modalities.items()},
        fusion=Component(fusion), head=Component("mlp"), train=TrainSpec(max_epochs=1),
    )  # fmt: skip
    return train_trial(spec, plugins, Workbench(CPU))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a model of it, and the model exported."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMBENCH_CACHE", str(folder / "cache"))
        options = TableOptions(
            path=str(table(folder)), target="price", target_kind="regression", image_size=16
        )
        found = trained(Component("table.mine", prepare_anew(options).options.params()))
    save_model(folder / "saved", found.resolved, found.model, found.requests)
    test = found.resolved.dataset.load("test")
    with torch.inference_mode():
        ready = prepare(test, found.model.encoders_by_modality)
        scores = found.model.eval()(ready.rows(torch.arange(len(ready)))).scores
    rows = found.resolved.dataset.prepared.rows("test")  # type: ignore[attr-defined]
    torch.save({"scores": scores, "rows": rows.tolist()}, folder / "expected.pt")
    return folder


def samples(home: Path) -> list[dict[str, object]]:
    frame = pd.read_csv(home / "data.csv").drop(columns="price").astype(object)
    return frame.where(frame.notna(), None).to_dict("records")


def test_raw_rows_score_as_the_loaded_part_did(home, tmp_path, monkeypatch):
    expected = torch.load(home / "expected.pt")
    model = load_model(shutil.copytree(home / "saved", tmp_path / "elsewhere"))
    asked = [samples(home)[row] for row in expected["rows"]]
    assert torch.allclose(model.scores(asked, home), expected["scores"], atol=1e-5)
    one = model.predict(asked[0], home)
    value = float(expected["scores"][0]) * model.std + model.mean
    assert one.value == pytest.approx(value, abs=1e-3) and one.probabilities == {}


def test_the_data_need_not_be_there(home, tmp_path):
    model = shutil.copytree(home / "saved", tmp_path / "model")
    spec = json.loads((model / "spec.json").read_text())
    spec["task"]["params"]["path"] = "/nowhere/data.csv"
    (model / "spec.json").write_text(json.dumps(spec))
    assert load_model(model).predict({"note": "hello"}).probabilities == {}


def test_missing_and_unknown_inputs(home):
    model = load_model(home / "saved")
    assert isinstance(model.predict({"photo": Image.new("RGB", (9, 9))}).value, float)
    same = model.predict({"photo": np.zeros((9, 9, 3), np.uint8), "walk": [1, 2, 3]})
    assert isinstance(same.value, float)
    with pytest.raises(InvalidParameter, match="Did you mean 'note'"):
        model.predict({"notes": "x"})
    with pytest.raises(InvalidParameter, match="Sample 1 has no value"):
        model.predict({})
    with pytest.raises(UnusableData, match=r"'photo', row 1: 'none.png' cannot be read"):
        model.predict({"photo": "none.png"}, home)
    with pytest.raises(DataUnavailable, match="is no saved model"):
        load_model(home)


def test_a_task_without_preprocessing_takes_its_modalities(tmp_path):
    found = trained(Component("synergy", {"size": 64}))
    save_model(tmp_path / "model", found.resolved, found.model, found.requests)
    model = load_model(tmp_path / "model")
    test = found.resolved.dataset.load("test").rows(torch.arange(3))
    asked = [{m: column.values[i].tolist() for m, column in test.columns.items()} for i in range(3)]
    with torch.inference_mode():
        scores = found.model.eval()(prepare(test, found.model.encoders_by_modality)).scores
    assert torch.allclose(model.scores(asked, tmp_path), scores, atol=1e-5)
    said = model.predict(asked[0])
    assert said.value in ("0", "1") and sum(said.probabilities.values()) == pytest.approx(1)


def test_an_export_has_a_card_and_a_graph_that_agrees(tmp_path):
    found = trained(Component("synergy", {"size": 64}), "product")
    save_model(tmp_path / "model", found.resolved, found.model, found.requests)
    done = export_model(tmp_path / "model", tmp_path / "out", load_plugins(), None)
    assert done.difference is not None, done.reason
    graph = torch.export.load(tmp_path / "out" / "model.pt2").module()
    inputs = {m: c.values[:5] for m, c in found.requests.columns.items()}
    with torch.inference_mode():
        scores = found.model.eval()(found.requests.rows(torch.arange(5))).scores
    assert torch.allclose(graph(inputs), scores, atol=1e-4)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "synergy" in card and "model.pt2" in card and "load_model" in card
    with pytest.raises(StorageError, match="is not empty"):
        export_model(tmp_path / "model", tmp_path / "out", load_plugins(), None)


def test_predict_and_export_on_the_command_line(home, tmp_path, monkeypatch, capsys):
    from mmbench.cli import main as cli

    def command(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["mmbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    monkeypatch.setattr("mmbench.exporting._graph", lambda *_: (None, "not tried"))
    out = tmp_path / "out"
    assert command("export", str(home / "saved"), "--out", str(out)) == 0
    assert "no compiled graph: not tried" in capsys.readouterr().out
    assert command("predict", str(out), "--input", str(home / "data.csv")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "row,prediction" and len(lines) == 61
    value = Predictor.predict(load_model(out), samples(home)[0], home).value
    assert float(lines[1].split(",")[1]) == pytest.approx(value, abs=1e-3)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert command("predict", str(out), "--input", str(tmp_path / "other.csv")) == 2
    assert "no column that the model reads" in capsys.readouterr().err
