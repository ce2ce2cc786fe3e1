"""Templates into a folder: all of it or nothing, and never over something that is there."""

import shutil
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from mmbench.errors import StorageError
from mmbench.scaffold.naming import Names

COMMON = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "tox.ini": "tox.ini",
    "gitignore": ".gitignore",
    "test.yml": ".github/workflows/test.yml",
}
"""Templates that all kinds share, and where they go."""
WORDS = ("kind", "article", "distribution", "component", "module", "function", "class_name")


def write_package(names: Names, into: Path) -> list[Path]:
    """Write the package into a new folder under ``into``; returns its files.

    Raises ``StorageError`` if the folder exists, or cannot be made.
    """
    folder = into / names.distribution
    if folder.exists() or folder.is_symlink():
        raise StorageError(f"{folder} exists already. Choose another name, or --into a folder.")
    files = _filled(names)
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{names.distribution}-", dir=into))
    except OSError as error:
        raise StorageError(f"Cannot write into {into}: {error.strerror}.") from error
    try:
        for path, text in files.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (partial / path).write_text(text)
        partial.chmod(0o755)
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StorageError(f"Cannot write {folder}: {error.strerror}.") from error
    return [folder / path for path in files]


def _filled(names: Names) -> dict[str, str]:
    """Where each file goes in the package, and its text."""
    templates = resources.files("mmbench.scaffold") / "templates"
    own, common = templates / names.kind, templates / "common"
    words = {word: getattr(names, word) for word in WORDS}
    words["article_capital"] = names.article.capitalize()
    words["use"] = _fill(own / "use", words).rstrip()
    return {
        f"{names.module}.py": _fill(own / "module.py", words),
        f"test_{names.module}.py": _fill(own / "test_module.py", words),
        **{path: _fill(common / name, words) for name, path in COMMON.items()},
    }


def _fill(template: Traversable, words: dict[str, str]) -> str:
    file = template.parent / f"{template.name}.template"  # type: ignore[attr-defined]
    return Template(file.read_text()).substitute(words)
