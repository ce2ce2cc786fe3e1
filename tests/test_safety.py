"""Reading a row, a spec, a cached feature or a saved model never runs code from it."""

import ast
import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from command_line import mmbench

from mmbench.contracts import Encoder
from mmbench.errors import UNSEEN, DataUnavailable, InvalidSpec, MMBenchError, UnknownName
from mmbench.evaluation.predictions import read_predictions
from mmbench.feature_cache import FeatureCache
from mmbench.features import encodings
from mmbench.leaderboard.row_files import read_row, read_rows
from mmbench.plugins import load_plugins
from mmbench.resolve import resolve
from mmbench.saved import load_answers, load_model, load_requests, save_model
from mmbench.spec import Component, TrialSpec, spec_from_json
from mmbench.tables.read import file_digest, read_table
from mmbench.trial import Workbench, train_trial
from mmbench.types import Encoded

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("mmbench", "plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not {"build", ".venv", "node_modules"} & set(path.parts)
]
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve",
                  "marshal", "jsonpickle", "pandas.io.pickle"}  # fmt: skip
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "read_pickle", "to_pickle",
                "unsafe_load", "full_load"}  # fmt: skip
READS_ARRAYS_ALONE = {ROOT / "mmbench/datasets/_arrays_only.py": ["pickle"]}
"""The one unpickler, for published data: it refuses all but arrays, see test_published.py."""
TRACE = "SOMETHING_RAN"


@pytest.fixture(autouse=True)
def _nothing_ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, TRACE, False, raising=False)
    yield
    assert not getattr(sys, TRACE), "code from a file was executed"


class Bomb:
    """Unpickling it leaves a trace."""

    def __reduce__(self) -> tuple:
        return exec, (f"import sys; sys.{TRACE} = True",)


def pickles() -> dict[str, bytes]:
    """A pickle, and a file as ``torch.save`` writes it."""
    saved = io.BytesIO()
    torch.save({"tokens": Bomb(), "scores": Bomb()}, saved)
    return {"pickle": pickle.dumps(Bomb()), "torch": saved.getvalue()}


PICKLES = pickles()


def test_the_bombs_go_off() -> None:
    """Otherwise the tests below would prove nothing."""
    pickle.loads(PICKLES["pickle"])
    assert getattr(sys, TRACE)
    setattr(sys, TRACE, False)
    with zipfile.ZipFile(io.BytesIO(PICKLES["torch"])) as archive:
        assert any(name.endswith("data.pkl") for name in archive.namelist())
    torch.load(io.BytesIO(PICKLES["torch"]), weights_only=False)
    assert getattr(sys, TRACE)
    setattr(sys, TRACE, False)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_source_can_run_what_it_reads(path: Path) -> None:
    unsafe = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            unsafe += [alias.name for alias in node.names if _unsafe_module(alias.name)]
        elif isinstance(node, ast.ImportFrom) and _unsafe_module(node.module or ""):
            unsafe.append(node.module)
        elif isinstance(node, ast.Call):
            unsafe += _unsafe_call(node)
    allowed = READS_ARRAYS_ALONE.get(path, [])
    assert unsafe == allowed, f"{path} uses {unsafe}: JSON and safetensors only"


def _unsafe_module(name: str) -> bool:
    return name in UNSAFE_MODULES or name.partition(".")[0] in UNSAFE_MODULES


def _unsafe_call(node: ast.Call) -> list[str]:
    """``eval`` and the like by name; loaders that unpickle unless they are told not to."""
    name = ast.unparse(node.func)
    options = {k.arg: ast.unparse(k.value) for k in node.keywords}
    last = name.rpartition(".")[2]
    if name in UNSAFE_CALLS or (last in UNSAFE_CALLS and last not in ("eval", "exec", "compile")):
        return [name]
    if name == "torch.load" and options.get("weights_only") != "True":
        return ["torch.load without weights_only=True"]
    if name.startswith("yaml.load") and "Safe" not in "".join(
        [*options.values(), *map(ast.unparse, node.args)]
    ):
        return ["yaml.load without a safe loader"]
    if options.get("allow_pickle") == "True":
        return [f"{name} with allow_pickle"]
    return []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import load", "eval(text)", "torch.load(path)",
        "torch.load(path, weights_only=False)", "yaml.load(text)", "np.load(p, allow_pickle=True)",
        "pd.read_pickle(p)",
    ],
)  # fmt: skip
def test_the_search_for_unsafe_calls_finds_them(tmp_path: Path, code: str) -> None:
    (tmp_path / "x.py").write_text(code)
    with pytest.raises(AssertionError, match="JSON and safetensors only"):
        test_no_source_can_run_what_it_reads(tmp_path / "x.py")


# saved models, cached features, predictions


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    plugins = load_plugins()
    spec = TrialSpec(
        Component("synergy", {"size": 200}), {"a": Component("mlp"), "b": Component("mlp")},
        Component("concat"), Component("linear"),
    )  # fmt: skip
    bench = Workbench(torch.device("cpu"), FeatureCache(folder.parent / "features"))
    trained = train_trial(spec, plugins, bench)
    save_model(folder, trained.resolved, trained.model, trained.requests)
    return folder


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("file", ["model", "requests", "answers"])
def test_a_pickle_in_place_of_tensors_is_refused(
    saved: Path, tmp_path: Path, file: str, kind: str
) -> None:
    folder = shutil.copytree(saved, tmp_path / "model")
    (folder / f"{file}.safetensors").write_bytes(PICKLES[kind])
    read: Callable[[], object] = {
        "model": lambda: load_model(folder, load_plugins(), torch.device("cpu")),
        "requests": lambda: load_requests(folder),
        "answers": lambda: load_answers(folder),
    }[file]
    with pytest.raises(DataUnavailable, match="damaged"):
        read()


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_among_cached_features_is_thrown_away(tmp_path: Path, kind: str) -> None:
    class Twice(Encoder):
        name = "twice"

        def forward(self, inputs: torch.Tensor) -> Encoded:
            return Encoded.vector(2 * inputs)

    encoder, values = Twice({"shape": [2]}), torch.ones(3, 2)

    def features() -> Encoded:
        encode = partial(encodings, encoder, values)
        return FeatureCache(tmp_path).get_or_compute({"x": 1}, len(values), encode)

    features()
    (kept,) = tmp_path.rglob("tokens.npy")
    kept.write_bytes(PICKLES[kind])
    assert features().pooled.equal(2 * values)
    assert kept.read_bytes() != PICKLES[kind]


@pytest.mark.parametrize("kind", PICKLES)
def test_pickled_predictions_are_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "predictions"
    file.write_bytes(PICKLES[kind])
    with pytest.raises(MMBenchError):
        read_predictions(file, "0" * 64)


@pytest.mark.parametrize("file", ["spec", "fitted", "plugins"])
def test_a_saved_model_with_hostile_json_is_refused(saved: Path, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(saved, tmp_path / "model")
    (folder / f"{file}.json").write_text(json.dumps({"__class__": "os.system", "a": "reboot"}))
    with pytest.raises(MMBenchError):
        load_model(folder, load_plugins(), torch.device("cpu"))


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("task", "[]", "task.json is an object"),
        ("task", "{}", "task.json lacks the field modalities, target, outputs, metric"),
        ("task", "", "task.json is one JSON object; it holds nothing"),
        ("spec", "[]", "spec.json: "),
        ("fitted", "[]", "fitted.json is an object with an object for each of a, b"),
        ("fitted", '{"a": {}, "b": {}}', "does not fit the encoders installed here"),
        ("plugins", "nonsense", "plugins.json is not JSON"),
        ("compression", "[]", "compression.json is an object"),
        ("preprocessing", "[]", "preprocessing.json is an object"),
        ("preprocessing", '{"recipe": {}, "scale": [0, 1]}', "preprocessing.json: recipe is none"),
    ],
)
def test_a_damaged_file_of_a_saved_model_is_named_with_its_fault(
    saved: Path, tmp_path: Path, file: str, content: str, says: str
) -> None:
    folder = shutil.copytree(saved, tmp_path / "model")
    (folder / f"{file}.json").write_text(content)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    done = mmbench(tmp_path, "predict", "model", "--input", "rows.csv")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    assert says in said and "model" in said and "Export it again, or train it anew" in said


# specs and rows


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that could be imported by its name, and must not be."""
    (tmp_path / "evil_module.py").write_text(f"import sys\nsys.{TRACE} = True\nclass Evil: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "evil_module"


@pytest.mark.parametrize("kind", ["task", "fusion", "head", "objective", "encoder"])
@pytest.mark.parametrize("form", ["{}", "{}.Evil", "{}:Evil", "../{}", "{}.py"])
def test_a_component_is_looked_up_never_imported(evil: str, kind: str, form: str) -> None:
    spec = {
        "task": "synergy", "encoders": {"a": "mlp", "b": "mlp"}, "fusion": "concat",
        "head": "linear",
    }  # fmt: skip
    if kind == "encoder":
        spec["encoders"] = {"a": form.format(evil), "b": "mlp"}
    else:
        spec[kind] = form.format(evil)
    with pytest.raises(UnknownName, match="There is no"):
        resolve(spec_from_json(json.dumps(spec)), load_plugins())
    assert evil not in sys.modules


@pytest.mark.parametrize(
    "key", ["__class__", "__reduce__", "py/object", "!!python/object", "_target_"]
)
def test_keys_that_other_readers_would_act_upon_are_refused(evil: str, key: str) -> None:
    bad = {key: f"{evil}.Evil"}
    spec = {"task": "synergy", "encoders": {}, "fusion": "concat", "head": "linear"}
    for hostile in ({**spec, **bad}, {**spec, "fusion": {"name": "concat", **bad}}):
        with pytest.raises(InvalidSpec, match="has no field"):
            spec_from_json(json.dumps(hostile))
    nested = {**spec, "fusion": {"name": "concat", "params": bad}}
    with pytest.raises(MMBenchError, match="no parameter"):
        resolve(spec_from_json(json.dumps(nested)), load_plugins())


def test_a_hostile_row_is_refused(tmp_path: Path, evil: str) -> None:
    row = next(p for p in sorted((ROOT / "leaderboards" / "synergy").glob("*.json")))
    honest = json.loads(row.read_text())
    file = tmp_path / row.name
    for hostile in (
        {**honest, "__class__": f"{evil}.Evil"},
        {**honest, "id": "../../etc/x"},
        {**honest, "task": "../synergy"},
        {**honest, "predictions": {"file": "../../secret", "sha256": "0"}},
        {key: value for key, value in honest.items() if key != "spec"},
        ["not", "a", "row"],
    ):
        file.write_text(json.dumps(hostile))
        with pytest.raises(InvalidSpec):
            read_row(file)
    file.write_bytes(PICKLES["pickle"])
    with pytest.raises(InvalidSpec):
        read_row(file)


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """A board of one honest row."""
    (tmp_path / "boards" / "synergy").mkdir(parents=True)
    row = next(iter(sorted((ROOT / "leaderboards" / "synergy").glob("*.json"))))
    shutil.copy(row, tmp_path / "boards" / "synergy")
    return tmp_path / "boards"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (lambda file: file.symlink_to("/dev/zero"), "a pipe or a device, no file"),
        (os.mkfifo, "a pipe or a device, no file"),
        (os.mkdir, "a folder, no file"),
        (lambda file: file.symlink_to(file), "Too many levels of symbolic links"),
        (lambda file: file.write_text(" " * (2**20 + 1)), "more than 1,048,576 bytes"),
    ],
    ids=["device", "pipe", "folder", "loop", "large"],
)
def test_what_ends_nowhere_is_named_and_the_other_rows_are_read(
    boards: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[[Path], object], says: str
) -> None:
    for reader in ("leaderboard.row_files", "evaluation.predictions"):
        monkeypatch.setattr(f"mmbench.{reader}.MOST_BYTES", 2**20)
    row, predictions = (boards / "synergy" / f"strange{end}" for end in (".json", ".xz"))
    place(row)
    place(predictions)
    rows, (problem,) = read_rows(boards / "synergy")
    assert len(rows) == 1 and f"{row} cannot be read: " in problem and says in problem
    with pytest.raises(DataUnavailable, match=says):
        read_predictions(predictions, "0" * 64)


def test_no_file_s_name_and_no_field_writes_where_it_likes_on_a_terminal(boards: Path) -> None:
    strange = "a\x1b[2J\x9b2J\u202egnp\r"
    (boards / "synergy" / f"{strange}.json").write_text(json.dumps({strange: 1}))
    for command in (["leaderboard", "--leaderboards", str(boards)], ["verify", str(boards)]):
        done = mmbench(boards, *command)
        said = done.stdout + done.stderr
        assert not UNSEEN.search(said) and said.count(r"a\x1b[2J\x9b2J\u202egnp\r.json") > 0
        assert "Traceback" not in said


def test_a_field_of_a_megabyte_is_not_poured_over_the_terminal(boards: Path) -> None:
    (file,) = boards.glob("*/*.json")
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, "id": "h" * 2**20}))
    done = mmbench(boards, "verify", str(boards))
    assert done.returncode == 1 and "more characters" in done.stdout
    assert len(done.stdout) < 20_000


@pytest.mark.parametrize("place", [os.mkfifo, lambda file: file.symlink_to("/dev/zero")])
@pytest.mark.parametrize("read", [read_table, file_digest])
def test_a_row_s_table_that_never_ends_is_not_read(
    tmp_path: Path, place: Callable[[Path], object], read: Callable[[Path], object]
) -> None:
    place(tmp_path / "data.csv")
    with pytest.raises(DataUnavailable, match=r"data.csv cannot be read: it is a pipe or a device"):
        read(tmp_path / "data.csv")


@pytest.mark.parametrize(
    ("said", "options", "offline"), [(None, [], "1"), ("0", [], "0"), (None, ["--rerun"], None)]
)
def test_verify_fetches_nothing_that_a_row_names(
    boards: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    options: list[str],
    offline: str | None,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "")  # so that it is put back afterwards
    monkeypatch.delenv("HF_HUB_OFFLINE")
    if said is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", said)
    seen = []
    monkeypatch.setattr(
        "mmbench.leaderboard.verify.verify",
        lambda *_, **__: seen.append(os.environ.get("HF_HUB_OFFLINE")) or [],
    )
    mmbench(boards, "verify", str(boards), *options)
    assert seen == [offline]
