"""``mmbench new``: each kind is complete, keeps its promises at once, and overwrites nothing."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_line import mmbench
from scaffolded import forget, install, run_tests

from mmbench.scaffold.naming import KINDS, names_of
from mmbench.scaffold.writing import write_package

FILES = ["pyproject.toml", "README.md", "tox.ini", ".gitignore", ".github/workflows/test.yml"]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One package of each kind, in one folder."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        write_package(names_of(kind, f"fresh-{kind}"), folder)
    return folder


@pytest.fixture
def installed(packages: Path, monkeypatch: pytest.MonkeyPatch):
    folders = [packages / f"fresh-{kind}" for kind in KINDS]
    for folder in folders:
        for old in folder.glob("*.dist-info"):
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        install(folder, monkeypatch)
    yield packages
    forget(*folders)


def test_every_package_is_complete_and_of_one_name(packages: Path) -> None:
    for kind in KINDS:
        folder = packages / f"fresh-{kind}"
        own = [f"fresh_{kind}.py", f"test_fresh_{kind}.py"]
        assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} >= {
            *FILES,
            *own,
        }
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        assert project["name"] == f"fresh-{kind}"
        assert project["entry-points"]["mmbench"] == {f"fresh-{kind}": f"fresh_{kind}"}
        assert f"mmbench plugins check fresh-{kind}" in (folder / "README.md").read_text()
        assert (folder / own[0]).read_text().startswith('"""')
        assert "$" not in "".join((folder / name).read_text() for name in own)


def test_every_package_is_linted(packages: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", str(packages)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_every_package_is_found_and_its_tests_pass(installed: Path) -> None:
    assert all(f"fresh-{kind}" in mmbench(installed, "plugins").stdout for kind in KINDS), (
        "not in `mmbench plugins`"
    )
    tests = [installed / f"fresh-{kind}" / f"test_fresh_{kind}.py" for kind in KINDS]
    # what an objective promises of whole trainings is as dear as all the rest: below
    assert run_tests(installed / "fresh-head", *tests, only="not training") == 0


def test_a_new_command_runs(installed: Path) -> None:
    boards = Path(__file__).parents[1] / "leaderboards"
    done = mmbench(installed, "fresh-command", str(boards / "synergy"), "--json")
    assert done.returncode == 0 and len(json.loads(done.stdout)) >= 5


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("fusion", "My_Fusion", "Try 'my-fusion'"),
        ("fusion", "9-lives", "Try 'lives'"),
        ("fusion", "a--b", "single hyphens"),
        ("fusion", "../escape", "Try 'escape'"),
        ("fusion", "mmbench-", "no name for a plugin"),
        ("fusion", "class", "keyword of Python. Try fusion-class"),
        ("fusion", "none", "'None' is a keyword"),
        ("fusion", "mmbench-true", "'True' is a keyword of Python. Try fusion-true"),
        ("dataset", "split", "'Split' would hide"),
        ("fusion", "exception", "'Exception' would hide"),
        ("command", "mmbench-typer", "'typer' would hide"),
        ("command", "register-commands", "'register_commands' would hide"),
        ("command", "app", "'app' would hide"),
        ("command", "mmbench-sorted", "'sorted' would hide"),
        ("fusion", "setup", "setup.py is a file that setuptools or pytest runs"),
        ("fusion", "conftest", "Try fusion-conftest or my-conftest"),
        ("head", "test-foo", "test_foo.py is a file that"),
        ("fusion", "a" * 300, "has 300 characters; allowed are 50"),
        ("fusion", "über", "Try 'uber'"),
        ("fusion", "concat", "There is a fusion 'concat' already, from mmbench"),
        ("fusion", "mmbench-concat", "There is a fusion 'concat' already"),
        ("command", "verify", "There is a command 'verify' already"),
        ("head", "torch", "package torch"),
        ("head", "json", "Python module 'json' already"),
        ("fusin", "x", "Did you mean 'fusion'?"),
    ],
)
def test_bad_names_are_refused_in_words(tmp_path: Path, kind: str, name: str, message: str) -> None:
    done = mmbench(tmp_path, "new", kind, name)
    assert done.returncode == 2 and message in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_hides_nothing_may_be_called_like_it() -> None:
    """A fusion's class is in capitals, and a class of another kind is not imported beside it."""
    for kind, name in (("metric", "mmbench-sum"), ("fusion", "split"), ("head", "mmbench-typer")):
        assert names_of(kind, name).distribution == name


def test_a_prefix_belongs_to_the_package_alone() -> None:
    names = names_of("fusion", "mmbench-low-rank-2")
    assert (names.module, names.component) == ("mmbench_low_rank_2", "low-rank-2")
    assert names.class_name == "LowRank2"


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "fresh-fusion").mkdir()
    (tmp_path / "fresh-fusion" / "precious").write_text("x")
    done = mmbench(tmp_path, "new", "fusion", "fresh-fusion")
    assert done.returncode == 2 and "exists already" in done.stderr
    assert [p.name for p in (tmp_path / "fresh-fusion").iterdir()] == ["precious"]
    gone = mmbench(tmp_path, "new", "fusion", "fresh-fusion", "--into", "nowhere")
    assert gone.returncode == 2 and "Cannot write into nowhere" in gone.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["fresh-fusion"]


@pytest.mark.slow
def test_a_real_installer_takes_them(packages: Path, tmp_path: Path) -> None:
    """``uv pip install``, then all tests in a process that knows only what it left."""
    site, tests = tmp_path / "site", tmp_path / "tests"
    folders = [packages / f"fresh-{kind}" for kind in KINDS]
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--no-deps", "--python", sys.executable,
         "--target", str(site), *map(str, folders)],
        check=True, env={**os.environ, "UV_CONSTRAINT": ""},
    )  # fmt: skip
    tests.mkdir()
    for test in packages.glob("*/test_*.py"):
        shutil.copy(test, tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tests)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
