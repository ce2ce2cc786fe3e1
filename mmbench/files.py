"""Files written whole or not at all, those of strangers, and folders that can be written."""

import os
import stat
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


def size_of_file(path: Path) -> int:
    """``OSError`` for what is no file, such as a pipe that never ends: a link may lead anywhere."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"it is {'a folder' if path.is_dir() else 'a pipe or a device'}, no file")
    return found.st_size


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a file that may come from a stranger; ``OSError`` for more than ``most``."""
    if (size := size_of_file(path)) > most:
        raise OSError(f"it has more than {most:,} bytes")
    with path.open("rb") as file:
        return file.read(size)  # what /proc shows as files has no size, and may not end


def probe_writable(folder: Path) -> None:
    """Make ``folder`` if need be and write into it; ``OSError`` says why that cannot be done."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".writable-{os.getpid()}"
    probe.write_text("")
    probe.unlink()
