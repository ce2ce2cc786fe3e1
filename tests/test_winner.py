"""A trained model taken away: it answers raw values as it answered the loaded part."""

import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import mmbench
from PIL import Image
from safetensors.torch import load_file
from small_finals import BOARDS
from torch.nn.functional import pad

from mmbench import load_model
from mmbench.compression import Compression
from mmbench.errors import (
    DataUnavailable,
    Incompatible,
    InvalidParameter,
    StorageError,
    UnusableData,
)
from mmbench.evaluation.latency import OutputsDiffer
from mmbench.exporting import export_model
from mmbench.exporting.card import card
from mmbench.exporting.graph import Parity, write_graph
from mmbench.exporting.onnx_graph import write_onnx
from mmbench.exporting.smaller import compressed_copy
from mmbench.features import prepare
from mmbench.plugins import load_plugins
from mmbench.predicting import Predictor
from mmbench.saved import load_model as load_saved
from mmbench.saved import save_model
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.tables.options import TableOptions
from mmbench.tables.preparing import prepare_anew
from mmbench.trial import Trained, Workbench, train_trial
from mmbench.types import Encoded

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
                "walk": " ".join(f"{x}.5" for x in draw.integers(0, 9, 6 + i % 2)),
                "price": 10.0 * i,
            }
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def trained(task: Component, fusion: str = "concat", **other: str) -> Trained:
    plugins = load_plugins()
    from mmbench.resolve import resolve_dataset

    modalities = resolve_dataset(task, plugins)[1].task.modalities
    spec = TrialSpec(
        task=task,
        encoders={m: Component((ENCODERS | other)[kind]) for m, kind in modalities.items()},
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
    with pytest.raises(InvalidParameter, match="The sample has no value"):
        model.predict({})
    with pytest.raises(UnusableData, match=r"'photo', row 1: 'none.png' cannot be read"):
        model.predict({"photo": "none.png"}, home)
    with pytest.raises(DataUnavailable, match="is no saved model"):
        load_model(home)


def test_a_row_with_a_sequence_of_other_channels_misses_it_alone(home):
    model, told = load_model(home / "saved"), []
    rows = [{"walk": "1 2 3 4"}] * 299 + [{"walk": "[[1, 2], [3, 4]]", "note": "a note"}]
    found = model.predict_all(rows, home, lambda *one: told.append(one))
    assert found[-1].value == pytest.approx(model.predict({"note": "a note"}).value)
    ((name, row, _, why),) = told
    assert (name, row, str(why)) == (
        "walk", 299, "it has the shape (2, 2), the others have 1 channels"
    )  # fmt: skip
    with pytest.raises(UnusableData, match=r"'walk', row 300: .* the others have 1 channels"):
        model.predict_all(rows, home)


def test_numbers_may_be_a_tensor_and_words_for_them_are_refused(home):
    model = load_model(home / "saved")
    told = [model.predict({"walk": walk}) for walk in ([1, 2, 3], torch.tensor([1.0, 2, 3]))]
    assert told[0] == told[1] != model.predict({"note": "a note"})
    for walk in ("soon", [], [math.nan]):
        with pytest.raises(UnusableData, match=r"'walk', row 1: .* is no sequence of numbers"):
            model.predict({"walk": walk, "note": "a note"})
    assert model.predict({"walk": " ", "note": "a note"}) == model.predict({"note": "a note"})


@pytest.fixture(scope="module")
def alone(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of ``size`` and ``born`` alone; the table has a photo and a note too."""
    folder = tmp_path_factory.mktemp("alone")
    days = pd.date_range("2024-01-01", periods=60).strftime("%d/%m/%Y")
    pd.read_csv(home / "data.csv").assign(born=days).to_csv(home / "dated.csv", index=False)
    options = TableOptions(
        path=str(home / "dated.csv"), target="price", target_kind="regression", image_size=16,
        modalities='{"table": {"number": ["size"], "date": ["born"]}, "note": {"text": ["note"]}, '
        '"photo": {"image": ["photo"]}}',
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMBENCH_CACHE", str(folder / "cache"))
        task = Component("table.mine", prepare_anew(options).options.params())
        only = Component("only", {"modality": "table"})
        spec = TrialSpec(
            task, {"table": Component("mlp")}, only, Component("mlp"),
            train=TrainSpec(max_epochs=1),
        )  # fmt: skip
        found = train_trial(spec, load_plugins(), Workbench(CPU))
    save_model(folder / "saved", found.resolved, found.model, found.requests)
    return folder / "saved"


def test_a_model_of_one_modality_asks_for_no_other(alone, tmp_path):
    model = load_model(alone)
    assert model.inputs == ("size", "born")
    one = model.predict({"size": 2, "photo": "none.png"}, tmp_path)
    assert one == model.predict({"size": 2}), "a photo that is not read need not be there"
    with pytest.raises(InvalidParameter, match=r"no value that the model reads.*: size, born\."):
        model.predict({"note": "hello", "photo": Image.new("RGB", (9, 9))})
    with pytest.raises(InvalidParameter, match="Did you mean 'photo'"):
        model.predict({"foto": "none.png"})


def test_a_table_is_looked_through_for_what_the_model_reads(alone, tmp_path):
    new = pd.DataFrame({"photo": ["none.png"] * 3, "size": [1, "NA", "abc"]})
    new.to_csv(tmp_path / "new.csv", index=False)
    done = mmbench(tmp_path, "predict", str(alone), "--input", "new.csv")
    assert [bool(line.split(",")[1]) for line in done.stdout.splitlines()[1:]] == [1, 0, 0]
    assert "new.csv: 2 rows without a value that the model reads, not predicted: rows 2, 3" in (
        done.stderr
    )
    assert "taken as missing: born" in done.stderr and "none.png" not in done.stderr
    new[["photo"]].to_csv(tmp_path / "new.csv", index=False)
    done = mmbench(tmp_path, "predict", str(alone), "--input", "new.csv")
    assert done.returncode == 2 and "It reads: size, born." in done.stderr


@pytest.mark.parametrize("cell", ["NA", "abc", " ", float("nan"), float("inf"), pd.NA, None])
def test_a_sample_of_words_for_nothing_is_empty(alone, cell):
    model = load_model(alone)
    found = model.predict_all([{"size": cell}, {"size": 1}, {"born": pd.NaT}])
    assert [one.value is None for one in found] == [True, False, True]


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ({"size": "abc", "born": "3/4/2024"}, "'size', row 1: 'abc' cannot be read: it is no num"),
        ({"size": [1, 2]}, "'size', row 1: .* it is no number"),
        ({"size": 1, "born": "soon"}, "'born', row 1: 'soon' cannot be read: it is no date"),
    ],
)
def test_a_word_for_a_number_of_one_sample_is_refused(alone, sample, says):
    with pytest.raises(UnusableData, match=says):
        load_model(alone).predict(sample)
    assert load_model(alone).predict({"size": "< 2", "born": pd.NaT}).value is not None


def test_dates_of_new_rows_are_read_as_they_were_learnt(alone):
    model = load_model(alone)
    new = pd.DataFrame({"size": [1, 2], "born": ["03/04/2024", "31/31/2024"]})
    assert [f.says for f in model.findings(new)] == [
        "1 cell is no date and counts as empty: row 2, such as '31/31/2024'"
    ]
    new["born"] = ["04/13/2024", "04/14/2024"]  # the month first, which was not learnt
    (found,) = model.findings(new)
    assert found.says.startswith("2 cells are no date and count as empty: rows 1, 2")


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


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of two generated vectors."""
    found = trained(Component("synergy", {"size": 256}), "product")
    folder = tmp_path_factory.mktemp("small") / "model"
    save_model(folder, found.resolved, found.model, found.requests)
    return folder


def scores_of_requests(folder: Path, rows: int = 5) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    saved = load_saved(folder, load_plugins(), CPU)
    asked = saved.requests.rows(torch.arange(rows))
    with torch.inference_mode():
        return {m: c.values for m, c in asked.columns.items()}, saved.model(asked).scores


def test_an_export_has_a_card_and_a_graph_that_agrees(small, tmp_path):
    done = export_model(small, tmp_path / "out", load_plugins(), None)
    assert done.graph.difference is not None, done.graph.reason
    assert done.onnx is None and done.figures == ()
    graph = torch.export.load(tmp_path / "out" / "model.pt2").module()
    inputs, scores = scores_of_requests(small)
    assert torch.allclose(graph(inputs), scores, atol=1e-4)
    says = (tmp_path / "out" / "README.md").read_text()
    assert "synergy" in says and "model.pt2" in says and "load_model" in says
    assert "`outputs` in `task.json`, in their order; softmax makes probabilities of them." in says
    with pytest.raises(StorageError, match="is not an empty folder"):
        export_model(small, tmp_path / "out", load_plugins(), None)


def test_the_card_of_a_regression_says_how_a_graph_comes_to_units(home):
    saved = load_saved(home / "saved", load_plugins(), CPU)
    mean, std = saved.preprocessing["scale"]
    same, none = Parity(0.0), Parity(None, "it cannot be traced")
    says = f"A graph gives the target standardised: times {std:.7g}, plus {mean:.7g}."
    assert says in card(saved, None, same, None, (), "")
    assert says not in card(saved, None, none, None, (), "")


def test_a_part_that_cannot_be_traced_is_named(small, tmp_path, monkeypatch):
    def stubborn(self, inputs):
        return Encoded.vector(inputs * float(inputs.sum()))

    encoder = type(load_saved(small, load_plugins(), CPU).model.encoders["b"])
    monkeypatch.setattr(encoder, "forward", stubborn)
    reason = write_graph(load_saved(small, load_plugins(), CPU), tmp_path).reason
    assert reason.startswith("the encoder mlp of a cannot be traced: ")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were to be timed: a process of its own for each takes seconds."""
    asked: list[Path] = []

    def measure(folder: Path, device: str, threads: int) -> dict[str, object]:
        asked.append(folder)
        return {"latency": {"batch_1": {"whole": {"ms_p50": float(len(asked))}}}}

    monkeypatch.setattr("mmbench.exporting.smaller.measure_in_fresh_process", measure)
    return asked


def test_what_smaller_costs_is_shown_beside_the_original(small, tmp_path, timed, monkeypatch):
    monkeypatch.setattr("mmbench.exporting.write_graph", lambda *_: Parity(None, "not tried"))
    out, how = tmp_path / "out", Compression(prune=0.5, int8=True)
    done = export_model(small, out, load_plugins(), None, how)
    assert [f.variant for f in done.figures] == ["original", "50% pruned", "50% pruned, int8"]
    assert timed[0] == small and timed[2].parent == out and len(timed) == 3
    sizes = [f.weights_bytes for f in done.figures]
    assert sizes[1] < 0.65 * sizes[0] and sizes[2] < 0.3 * sizes[0]
    assert sizes[2] == (out / "model.safetensors").stat().st_size

    saved = load_saved(out, load_plugins(), CPU)
    test = load_synergy("test")
    ready = prepare(test, saved.model.encoders_by_modality)
    with torch.inference_mode():
        said = saved.model(ready.rows(torch.arange(len(ready)))).scores.argmax(1)
    assert done.figures[2].test == pytest.approx(float((said == test.target).float().mean()))
    assert done.figures[0].validation != done.figures[1].validation
    assert json.loads((out / "costs.json").read_text())["variants"][2]["latency_ms_p50"] == 3.0
    assert "| 50% pruned, int8 |" in (out / "README.md").read_text()
    with pytest.raises(Incompatible, match="is 50% pruned, int8 already"):
        export_model(out, tmp_path / "again", load_plugins(), None, Compression(int8=True))


@pytest.mark.parametrize("there", [False, True])
def test_a_broken_off_export_leaves_no_model(small, tmp_path, monkeypatch, there):
    def killed(*_):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    if there:  # an empty folder, with what a killed export could not clear away
        (out / ".unfinished").mkdir(parents=True)
        (out / ".unfinished" / "model.pt2").touch()
    monkeypatch.setattr("mmbench.exporting.write_graph", killed)
    with pytest.raises(KeyboardInterrupt):
        export_model(small, out, load_plugins(), None)
    assert [*tmp_path.rglob("*")] == [out] * there
    monkeypatch.setattr("mmbench.exporting.write_graph", lambda *_: Parity(None, "not tried"))
    export_model(small, out, load_plugins(), None)
    names = {file.name for file in out.iterdir()}
    assert names == {file.name for file in small.iterdir()} | {"README.md"}
    assert load_model(out).task.outputs == ("0", "1")


def test_an_export_of_an_export_has_its_own_graphs_alone(small, tmp_path, timed, monkeypatch):
    monkeypatch.setattr("mmbench.exporting.write_graph", lambda *_: Parity(None, "not tried"))
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    export_model(small, first, load_plugins(), None)
    (first / "model.onnx").touch()
    (first / "model.safetensors").chmod(0o444)
    export_model(first, second, load_plugins(), None, Compression(int8=True))
    assert not (second / "model.onnx").exists(), "of a model that was no int8"
    assert (second / "model.safetensors").stat().st_mode & 0o200
    export_model(second, third, load_plugins(), None)
    assert (third / "costs.json").read_text() == (second / "costs.json").read_text()


def test_a_folder_that_is_taken_is_said_before_a_model_is_trained(tmp_path):
    row = next((BOARDS / "synergy").glob("*.json"))
    (tmp_path / "mine.txt").touch()
    done = mmbench(tmp_path, "export", str(row), "--out", ".", "--runs", "none")
    assert done.returncode == 2 and ". is not an empty folder" in done.stderr
    assert "trained again" not in done.stderr


def load_synergy(part):
    return load_plugins().datasets["synergy"](size=256).load(part)


def test_a_compressed_model_is_rebuilt_from_its_folder(small, tmp_path):
    out = Path(shutil.copytree(small, tmp_path / "out"))
    compressed_copy(out, Compression(int8=True), load_plugins())
    _, exact = scores_of_requests(small)
    _, found = scores_of_requests(out)
    assert torch.equal(found, load_file(out / "answers.safetensors")["scores"][:5])
    assert not torch.equal(found, exact) and torch.allclose(found, exact, atol=0.1)
    state = load_file(out / "model.safetensors")
    assert not [n for n in state if n.endswith("weight") and state[n].ndim == 2]
    sample = {"a": [0.5] * 16, "b": [0.1] * 16}
    before, after = (load_model(f).predict(sample).probabilities["1"] for f in (small, out))
    assert before != after and before == pytest.approx(after, abs=0.05)


def test_a_smaller_model_that_answers_otherwise_once_it_is_loaded_is_not_left(
    small, tmp_path, monkeypatch
):
    from mmbench.exporting import smaller

    answers = smaller.answers
    monkeypatch.setattr(smaller, "answers", lambda *given: answers(*given) + 0.5)
    with pytest.raises(OutputsDiffer, match=r"\(by 0\.5\).* Export it without --int8"):
        export_model(small, tmp_path / "out", load_plugins(), None, Compression(prune=0.5))
    assert not (tmp_path / "out").exists()


def test_a_graph_that_differs_from_the_model_is_not_written(small, tmp_path, monkeypatch):
    traced = SimpleNamespace(module=lambda: None)
    monkeypatch.setattr("mmbench.exporting.graph.traced", lambda *_: traced)
    monkeypatch.setattr("mmbench.exporting.graph.differs", lambda *_: 0.25)
    found = write_graph(load_saved(small, load_plugins(), CPU), tmp_path)
    assert found == Parity(None, "it differs from the model by 0.25")
    assert not list(tmp_path.iterdir())


def test_without_its_data_a_model_is_timed_only(home, tmp_path, timed, monkeypatch):
    monkeypatch.setattr("mmbench.exporting.write_graph", lambda *_: Parity(None, "not tried"))
    model = shutil.copytree(home / "saved", tmp_path / "model")
    spec = json.loads((model / "spec.json").read_text())
    spec["task"]["params"]["path"] = "/nowhere/data.csv"
    (model / "spec.json").write_text(json.dumps(spec))
    done = export_model(model, tmp_path / "out", load_plugins(), None, Compression(int8=True))
    assert done.figures[1].test is None and "/nowhere/data.csv" in done.figures_reason
    assert "Quality is not known" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder, fusion, length",
    [
        ("bag-of-words", "concat", "words"),
        ("gru", "concat", "64"),
        pytest.param("text-transformer", "concat-early", "64", marks=pytest.mark.slow),
    ],
)
def test_a_graph_reads_texts_that_are_longer_than_its_requests(
    encoder, fusion, length, home, tmp_path
):
    """Some are traced for one length, the longest: what is shorter is filled up."""
    task = load_saved(home / "saved", load_plugins(), CPU).spec.task
    found = trained(task, fusion, text=encoder)
    save_model(tmp_path, found.resolved, found.model, found.requests)
    saved = load_saved(tmp_path, load_plugins(), CPU)
    graph = write_graph(saved, tmp_path)
    assert graph.difference is not None, graph.reason
    assert graph.reads["walk"] == f"int64 (rows, {length})"
    assert "`walk` int64 (rows, " in card(saved, None, graph, None, (), "")
    sample = samples(home)[1] | {"walk": "3 1 4 " * 20}
    model = Predictor(saved)
    inputs = {m: c.values for m, c in model._ready(model._raw([sample], home)).columns.items()}
    inputs["walk"] = pad(inputs["walk"], (0, 64 - inputs["walk"].shape[1]))
    said = torch.export.load(tmp_path / "model.pt2").module()(inputs)
    assert torch.allclose(said, model.scores([sample], home), atol=1e-4)


@pytest.mark.parametrize("how", [Compression(), Compression(int8=True)], ids=str)
def test_onnx_answers_as_the_model(small, tmp_path, how):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    if how:
        small = Path(shutil.copytree(small, tmp_path / "small"))
        compressed_copy(small, how, load_plugins())
    found = write_onnx(load_saved(small, load_plugins(), CPU), tmp_path)
    assert found.difference is not None, found.reason
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs, scores = scores_of_requests(small, 7)
    (answer,) = session.run(None, {m: v.numpy() for m, v in inputs.items()})
    assert torch.allclose(torch.from_numpy(answer), scores, atol=1e-4)


def test_a_row_without_finite_scores_is_said_and_left_empty(home, monkeypatch):
    """A fusion that multiplies makes NaN of a number of 1e30: it is no answer."""
    answer = Predictor._answer

    def beyond(self, ready):
        scores = answer(self, ready)
        scores[-1] = torch.nan
        return scores

    monkeypatch.setattr(Predictor, "_answer", beyond)
    model = load_model(home / "saved")
    with pytest.raises(UnusableData, match="Row 1: the model gives no finite scores"):
        model.predict({"size": 1e30})
    with pytest.raises(UnusableData, match="Row 3: the model gives no finite scores"):
        model.predict_all([{"size": 1}] * 3)
    pd.DataFrame({"size": [1, 2, 1e30]}).to_csv(home / "far.csv", index=False)
    done = mmbench(home, "predict", "saved", "--input", "far.csv")
    assert done.returncode == 0, done.stderr
    assert "1 row with a number too far from those trained on, not predicted: row 3" in done.stderr
    assert done.stdout.splitlines()[-1] == "3,"
    pd.DataFrame({"size": [1e30]}).to_csv(home / "far.csv", index=False)
    done = mmbench(home, "predict", "saved", "--input", "far.csv")
    assert done.returncode == 2 and "can be predicted" in done.stderr


def test_predict_and_export_on_the_command_line(home, tmp_path, monkeypatch, capsys):
    from mmbench.cli import main as cli

    def command(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["mmbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    monkeypatch.setattr("mmbench.exporting.write_graph", lambda *_: Parity(None, "not tried"))
    out = tmp_path / "out"
    assert command("export", str(home / "saved"), "--out", str(out)) == 0
    assert "There is no `model.pt2`: not tried" in capsys.readouterr().out
    assert command("predict", str(out), "--input", str(home / "data.csv"), "--time") == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    whole, read, model = (float(n) for n in re.findall(r"(\d+\.\d+) (?:ms|of|in)", said.err)[:3])
    assert 0 < read + model < 1.5 * whole and "(p50 of 100)" in said.err
    assert lines[0] == "row,prediction" and len(lines) == 61
    value = Predictor.predict(load_model(out), samples(home)[0], home).value
    assert float(lines[1].split(",")[1]) == pytest.approx(value, abs=1e-3)
    odd = pd.read_csv(home / "data.csv").iloc[:3].astype(object)
    odd.iloc[1] = None
    odd.loc[0, ["size", "breed"]] = "2,04 kg", "yeti"
    odd.to_csv(home / "odd.csv", index=False)
    assert command("predict", str(out), "--input", str(home / "odd.csv")) == 0
    said = capsys.readouterr()
    assert "odd.csv: 1 row without a value that the model reads, not predicted: row 2" in said.err
    assert "size: 1 cell is no number and counts as empty: row 1" in said.err
    assert "breed: " in said.err and "count as one, 'other'" in said.err
    told = [line.split(",")[:2] for line in said.out.splitlines()]
    assert told[2] == ["2", ""] and float(told[3][1]) == pytest.approx(
        float(lines[3].split(",")[1])
    )
    (home / "cut.png").write_bytes((home / "1.png").read_bytes()[:60])
    odd.loc[1, "photo"], odd.loc[2, "photo"] = "absent.png", "cut.png"
    odd.to_csv(home / "odd.csv", index=False)
    assert command("predict", str(out), "--input", str(home / "odd.csv"), "--time") == 0
    said = capsys.readouterr()
    assert "photo: 2 files cannot be read, so rows 2, 3 miss this modality" in said.err
    assert "row 2: absent.png: it does not exist" in said.err and "row 3: cut.png: " in said.err
    with_broken = [line.split(",")[:2] for line in said.out.splitlines()]
    assert with_broken[:3] == told[:3]
    without = {n: v for n, v in samples(home)[2].items() if n != "photo"}
    value = load_model(out).predict(without, home).value
    assert float(with_broken[3][1]) == pytest.approx(value, abs=1e-3)
    odd.iloc[1:2].to_csv(home / "only.csv", index=False)
    assert command("predict", str(out), "--input", str(home / "only.csv")) == 2
    assert "Nothing in" in capsys.readouterr().err
    odd.iloc[1] = None
    odd.iloc[1:2].to_csv(tmp_path / "other.csv", index=False)
    assert command("predict", str(out), "--input", str(tmp_path / "other.csv")) == 2
    assert "no value that the model reads in any row" in capsys.readouterr().err
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert command("predict", str(out), "--input", str(tmp_path / "other.csv")) == 2
    assert "no column that the model reads" in capsys.readouterr().err


@pytest.mark.parametrize(
    "cell", [0.5, "sixteen numbers!", [0.1, 0.2], [math.inf] * 16, "[0.1, 0.2]", [[0.1] * 16]]
)
def test_what_is_no_vector_of_the_models_width_is_refused_in_words(small: Path, cell) -> None:
    with pytest.raises(InvalidParameter, match="'a' takes a list of 16 finite numbers; got"):
        load_model(small).predict({"a": cell})


def test_a_vector_may_be_the_text_of_a_list(small: Path) -> None:
    numbers = [0.1 * i for i in range(16)]
    told, written = (load_model(small).predict({"a": a}) for a in (numbers, str(numbers)))
    assert told == written
