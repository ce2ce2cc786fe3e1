"""Commands, and what they say to bad input: one message, exit code 2, no traceback."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from mmbench import threads
from mmbench.cache import features_root
from mmbench.cli import main as cli
from mmbench.cli.display import display
from mmbench.cli.output import print_places, terminal
from mmbench.feature_cache import FeatureCache
from mmbench.types import Encoded

SMALL = ["--set", "task.size=200", "--set", "train.max_epochs=1"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """The command line in this process, in an empty folder: (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("search --task vqqa", "Did you mean 'vqa'"),
        ("search --task synergy --fusion prodct", "Did you mean 'product'"),
        ("search --task synergy --encoder mpl", "Did you mean 'mlp'"),
        ("search --task synergy --fusion concat,,sum", "A name is empty in 'concat,,sum'"),
        ("search --task synergy --encoder =mlp", "A name is empty in '=mlp'"),
        ("worker --job nowhere", "There is no job in nowhere: spec.json cannot be read"),
        ("search --task synergy --head x", "no head named 'x'"),
        ("search --task synergy --fusion cross-attention --encoder mlp", "attends over tokens"),
        ("search --task synergy --set train.max_epochs=0", "at least 1"),
        ("search --task synergy --set train.learning_rate=7", "out of range"),
        ("search --task synergy --set trian.x=1", "Did you mean 'train'"),
        ("search --task synergy --set nonsense", "SECTION.NAME=VALUE"),
        ("search --task synergy --device tpu", "auto, cpu or cuda"),
        ("run --task synergy --fusion gated --set fusion.width=1", "out of range"),
        ("run --task synergy --fusion only-c", "'c'"),
        ("run", "--task NAME"),
        ("run --spec nowhere.json", "cannot be read"),
        ("rerun abc", "names no rows"),
        ("leaderboard", "no boards"),
        ("leaderboard --sort speed", "accuracy, latency, memory"),
        ("list fusion", "Did you mean 'fusions'"),
        ("describe fusion gatd", "Did you mean 'gated'"),
        ("describe fusions gated", "Did you mean 'fusion'"),
        ("ui", "no MLflow store"),
        ("worker", "needs --storage"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(call, command: str, message: str) -> None:
    code, _, errors = call(*command.split())
    assert code == 2
    assert message in errors and "Traceback" not in errors


def test_cuda_without_one_is_refused(call) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    code, _, errors = call("search", "--task", "synergy", "--device", "cuda")
    assert code == 2 and "No CUDA device" in errors


def test_an_output_folder_that_cannot_be_written_is_named_before_anything_runs(
    call, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, _, errors = call("search", "--task", "synergy", "--out", "file/runs", *SMALL)
    assert code == 2 and "cannot be written" in errors and "--out" in errors


def test_a_full_disk_is_named(call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    code, _, errors = call("search", "--task", "synergy", *SMALL)
    assert code == 2 and "No space left on device" in errors


@pytest.mark.parametrize("kind", ["tasks", "encoders", "fusions", "heads", "objectives", "metrics"])
def test_list_as_json_has_names_and_owners(call, kind: str) -> None:
    code, output, _ = call("list", kind, "--json")
    found = json.loads(output)
    assert code == 0 and found
    assert all(item["name"] and item["owner"] and item["summary"] for item in found)


def test_list_for_people(call) -> None:
    _, output, _ = call("list", "fusions")
    assert "product" in output and "mmbench" in output


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("fusion", "gated", "Arevalo"),
        ("fusion", "film", "handles_missing"),
        ("encoder", "cnn", "depth: int = 2, one of 2, 3, 4"),
        ("task", "synergy", "best possible"),
        ("head", "mlp", "dropout"),
        ("objective", "joint", "weight"),
        ("metric", "accuracy", "classification"),
    ],
)
def test_describe(call, kind: str, name: str, says: str) -> None:
    code, output, _ = call("describe", kind, name)
    assert code == 0 and says in output
    code, output, _ = call("describe", kind, name, "--json")
    assert json.loads(output)["name"] == name


def test_plugins_and_doctor(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mmbench.cli.doctor.COMPANIONS", ("torchvision", "optuna")
    )  # the quick ones
    code, output, _ = call("plugins")
    assert code == 0 and "built in" in output
    code, output, _ = call("doctor", "--json")
    findings = {f["name"]: f for f in json.loads(output)}
    assert code == 0 and findings["torchvision"]["sound"] and findings["cache"]["sound"]


def test_doctor_names_a_broken_install_and_its_mend(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmbench.cli.doctor.COMPANIONS", ("torchvision",))
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it raises
    code, output, _ = call("doctor")
    assert code == 1 and "!!" in output and "install both together" in output


def test_the_model_to_use_is_chosen_by_validation_not_by_test() -> None:
    from types import SimpleNamespace

    from mmbench.cli.search import chosen_by_validation

    def row(validation: float, test: float, parameters: int) -> SimpleNamespace:
        return SimpleNamespace(
            validation={"mean": validation}, test=test, parameters=parameters, sign=1
        )

    lucky, good, good_but_large = row(0.8, 0.99, 1), row(0.9, 0.9, 10), row(0.9, 0.95, 99)
    assert chosen_by_validation([lucky, good_but_large, good]) is good


def test_a_corrupt_spec_file_is_named(call, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"task": "synergy"')
    code, _, errors = call("run", "--spec", "spec.json")
    assert code == 2 and "not JSON" in errors


@pytest.mark.parametrize(("image", "idle"), [("hog", True), ("cnn", False)])
def test_a_run_says_that_a_paradigm_has_nothing_to_act_on(
    image: str, idle: bool, call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmbench.cli.single.evaluate", lambda *_, **__: None)
    parts = ["--encoder", f"image={image}", "--encoder", "question=tfidf", "--fusion", "concat"]
    code, output, errors = call("run", "--task", "vqa", *parts, "--objective", "joint")
    assert (code, output) == (0, "")
    assert ("joint: all encoders are frozen" in errors) is idle


def test_the_version_is_that_of_the_distribution(call) -> None:
    assert call("--version") == (0, f"mmbench {version('mmbench')}\n", "")


@pytest.mark.parametrize(("told", "has"), [({}, 1), ({"OMP_NUM_THREADS": "2"}, 2)])
def test_a_command_has_one_thread_unless_told(told: dict[str, str], has: int) -> None:
    code = (
        "import mmbench.cli.main as cli\n"
        "def app():\n"
        "    import torch\n"
        "    print(torch.get_num_threads())\n"
        "cli.app = app\n"
        "cli.main()"
    )
    others = {name: value for name, value in os.environ.items() if name not in threads.LIMITS}
    done = subprocess.run(
        [sys.executable, "-c", code], env=others | told, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == has


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['mmbench', '--help']\n"
        "from mmbench.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'optuna', 'mlflow', 'pandas', 'sklearn', 'timm'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout and "leaderboard" in done.stdout


def test_an_empty_id_clears_no_cache(call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As an unset variable of a shell would be."""
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))
    code, _, errors = call("cache", "clear", "")
    assert code == 2 and "No entry begins with ''" in errors


PRINTS = '''
from mmbench.api import hookimpl
from mmbench.fusions.concat import ConcatFusion

class Loud(ConcatFusion):
    """Side by side, and not in silence."""

    name = "loud"

    def forward(self, features):
        print("fusing")
        return super().forward(features)

@hookimpl
def register_fusions():
    return [Loud]
'''


def test_what_a_component_prints_is_no_part_of_the_json(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(PRINTS)
    command = [sys.executable, "-m", "mmbench", "plugins", "check", "loud.py", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["kept"] is True and "fusing" in done.stderr


@pytest.mark.parametrize(
    "command", ["describe task vqa", "list encoders --json", "list --help", "list"]
)
def test_a_command_whose_reader_has_gone_ends_in_silence(command: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mmbench", *command.split()],
        stdout=writer, stderr=writer if command == "list" else subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 141 and not done.stderr


def test_a_pipe_that_breaks_elsewhere_is_an_error_to_be_seen(
    call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks() -> None:
        raise BrokenPipeError("the database has gone")

    monkeypatch.setattr("mmbench.plugins.load_plugins", breaks)
    with pytest.raises(ConnectionError, match="the database has gone"):
        call("run", "--task", "synergy", "--fusion", "concat")


def test_output_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mmbench", "list", "tasks"],
            stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, text=True,
        )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("mmbench: What is printed cannot be")


# what is shown


@pytest.mark.parametrize("data", [None, 7, [], "[]", "{", '"vqa"'])
def test_features_of_who_knows_what_are_listed_too(
    call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: object
) -> None:
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))
    key = {"data": data, "part": "train", "modality": "a", "encoder": "power"}
    cache = FeatureCache(features_root())
    cache.get_or_compute(key, 2, lambda _: iter([Encoded.vector(torch.zeros(2, 3))]))
    code, shown, errors = call("cache", "list")
    assert code == 0 and "/train  a:power()" in shown, errors


def test_names_in_brackets_are_no_styles(capsys: pytest.CaptureFixture[str]) -> None:
    with display(quiet=True) as shown:
        shown.note("column [owner] of [/tmp/pets.csv] is empty")
    print_places(terminal(stderr=True), [("rows", "/tmp/[a]"), ("MLflow store", "sqlite:///x")])
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "column [owner] of [/tmp/pets.csv] is empty",
        "",
        "          rows  /tmp/[a]",
        "  MLflow store  sqlite:///x",
    ]


def test_what_is_left_out_for_one_reason_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = {
        "sum": "sum serves classes",
        "gated": "gated serves classes",
        "mla": "objective mla trains pairs",
        "film": "film is slow",
        "pmr": "objective pmr trains pairs",
        "odd": "nothing is known of it",
        "strange": "nothing is known of it",
    }
    with display(quiet=True) as shown:
        shown.leave_out(reasons)
    assert capsys.readouterr().err.splitlines() == [
        "  left out: sum, gated: each serves classes",
        "  left out: objective mla, pmr: each trains pairs",
        "  left out: film is slow",
        "  left out: nothing is known of it",
    ]
