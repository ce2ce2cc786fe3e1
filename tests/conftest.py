import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from installing import Site, forget

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of rows with every optional field, written once for all tests of it."""
    from site_rows import full_rows

    from mmbench.leaderboard.site.build import write_site

    site = tmp_path_factory.mktemp("full")
    write_site(site, full_rows(12), [], Path("leaderboards"))
    return site


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the repository's own boards."""
    from site_rows import BOARDS, COMMITTED

    from mmbench.leaderboard.site.build import write_site

    site = tmp_path_factory.mktemp("committed")
    write_site(site, COMMITTED, [], BOARDS)
    return site


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that falls back to training one by one fails: its scores would be right all the same.

    What any of it raises makes it fall back, a bug as well.
    """

    def one_by_one(*_: object) -> None:
        pytest.fail("trained one by one")

    monkeypatch.setattr("mmbench.together.trials.train_trial", one_by_one)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder on the path; nothing else is installed, no matter where this test runs."""
    from mmbench.plugins import load_plugins

    folder = tmp_path / "site"
    folder.mkdir()
    real = importlib.metadata.distributions
    monkeypatch.setattr(
        importlib.metadata,
        "distributions",
        lambda: (d for d in real() if str(d.locate_file("")).startswith(str(tmp_path))),
    )
    monkeypatch.syspath_prepend(str(folder))
    for variable in [name for name in os.environ if name.startswith("MMBENCH_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("MMBENCH_PLUGIN_FILES", "")  # what --plugin sets is undone with it
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    yield Site(folder)
    for module in [n for n, m in sys.modules.items() if _lies_in(m, tmp_path)]:
        forget(module)
    load_plugins.cache_clear()


def _lies_in(module: object, folder: Path) -> bool:
    return str(getattr(module, "__file__", None)).startswith(str(folder))


@pytest.fixture
def at_site(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command line in this process, with what is installed there: (code, output, errors)."""
    from mmbench.cli import main as cli
    from mmbench.plugins import load_plugins

    def run(*arguments: str) -> tuple[int, str, str]:
        load_plugins.cache_clear()
        monkeypatch.setattr(sys, "argv", ["mmbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run
