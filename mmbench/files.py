"""Files written whole or not at all, and folders that can be written."""

import os
from pathlib import Path

from mmbench.errors import StorageError


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write beside ``path`` and rename: a reader never sees half a file, a full disk loses none."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(content, str):
                beside.write_text(content, encoding="utf-8")
            else:
                beside.write_bytes(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. "
            "Make the folder writable, free some space, or choose another folder."
        ) from None
    return path


def probe_writable(folder: Path) -> None:
    """Make ``folder`` if need be and write into it; ``OSError`` says why that cannot be done."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".writable-{os.getpid()}"
    probe.write_text("")
    probe.unlink()
