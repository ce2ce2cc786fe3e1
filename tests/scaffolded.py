"""What ``uv pip install -e`` leaves of a package, without an installer and in this test alone."""

import importlib
import os
import sys
import tomllib
from pathlib import Path

import pytest

from mmbench.plugins import load_plugins


def install(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder on the path, of processes to be started too, with what an installer writes."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    info = package / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = project["entry-points"]["mmbench"].items()
    lines = "".join(f"{entry} = {module}\n" for entry, module in entries)
    (info / "entry_points.txt").write_text(f"[mmbench]\n{lines}")
    monkeypatch.syspath_prepend(str(package))
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    importlib.invalidate_caches()
    load_plugins.cache_clear()


def forget(*packages: Path) -> None:
    """As if the packages had never been imported."""
    for package in packages:
        for path in package.glob("*.py"):
            sys.modules.pop(path.stem, None)
    load_plugins.cache_clear()


def run_tests(package: Path, *files: Path, only: str = "") -> int:
    """The exit code of pytest with the settings of a package, in this process."""
    settings = ["-q", "-k", only, "-p", "no:cacheprovider", "-c", str(package / "pyproject.toml")]
    return int(pytest.main([*settings, *map(str, files)]))
