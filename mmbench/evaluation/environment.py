"""Which software produced a figure: versions, plugins and the commit, as JSON."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mmbench.plugins import Plugins
from mmbench.provenance import identity, used_by
from mmbench.resolve import Resolved

PACKAGES = (
    "mmbench", "torch", "torchvision", "torchaudio", "timm", "transformers", "optuna", "mlflow",
    "numpy", "scikit-learn", "safetensors",
)  # fmt: skip
GIT_TIMEOUT_S = 5


def environment(plugins: Plugins, resolved: Resolved | None = None) -> dict[str, Any]:
    """Versions by package, plugins with their state, git commit if there is one, platform.

    With a specification, also ``used_plugins``: those that took part, each with a hash.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions(),
        "plugins": [
            {
                "name": r.name,
                "state": r.state,
                **identity(r.distribution, plugins),
                "version": r.version,
            }
            for r in plugins.records
        ],
        **({} if resolved is None else {"used_plugins": used_by(resolved, plugins)}),
        "git": git_commit(),
    }


def versions() -> dict[str, str]:
    """Installed versions, read from their metadata: nothing is imported."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> dict[str, Any] | None:
    """The working directory's ``commit`` and whether files in it are changed (``dirty``)."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
