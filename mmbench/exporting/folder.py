"""The folder of an export: a model is in it whole, or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmbench.errors import StorageError
from mmbench.saved import FILES
from mmbench.saved_json import SPEC

COSTS = "costs.json"
UNFINISHED = ".unfinished"
"""Where the files of an export are until all are written. It lies in the folder itself, which may
be a mount point, or all that can be written to; what a killed export left there is written anew."""


def check_free(out: Path) -> None:
    """``StorageError`` unless ``out`` is absent, or a folder with nothing of anybody in it."""
    if out.exists() and (not out.is_dir() or any(f.name != UNFINISHED for f in out.iterdir())):
        raise StorageError(f"{out} is not an empty folder. Choose another one with --out.")


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A folder to write into; what is in it then is in ``out``, unless something was raised."""
    made, found = out / UNFINISHED, out.exists()
    try:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        yield made
        # the spec comes last: a folder without it is no model
        for file in sorted(made.iterdir(), key=lambda file: file.name == SPEC):
            file.rename(out / file.name)
        made.rmdir()
    except OSError as error:
        raise StorageError(f"The model cannot be written to {out}: {error}.") from error
    finally:
        if made.exists():
            shutil.rmtree(made, ignore_errors=True)
            if not found:
                out.rmdir()


def copy_model(model: Path, out: Path) -> None:
    """What a model is made of; not the card and the graphs of an earlier export, made of another.

    Contents alone: the copy of a model that may only be read can still be changed.
    """
    for name in (*FILES, COSTS):
        if (model / name).exists():
            shutil.copyfile(model / name, out / name)
