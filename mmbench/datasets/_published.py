"""The base of published data sets that users fetch themselves: a folder in, a task out."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mmbench.contracts import Dataset
from mmbench.datasets._whereabouts import Expected, whereabouts
from mmbench.errors import DataUnavailable, first_line
from mmbench.types import Part, Split

if TYPE_CHECKING:
    import pandas as pd

    from mmbench.tables.prepared import Prepared


@contextmanager
def as_published(name: str, where: Path) -> Iterator[None]:
    """Reading ``where`` raises ``DataUnavailable`` if it is otherwise than ``name`` is published.

    The innermost says it: a file of a folder rather than the folder.
    """
    try:
        yield
    except (AttributeError, EOFError, LookupError, OSError, TypeError, ValueError) as error:
        why = first_line(error)
        if isinstance(error, KeyError):
            why += " is missing"
        raise DataUnavailable(
            f"{where} is not as {name} is published: {why}. Fetch or mend it."
        ) from None


class Published(Dataset):
    """Reads ``root``; every name it needs is in ``expects``."""

    expects: ClassVar[tuple[Expected, ...]]
    home: ClassVar[str]
    """Where it can be asked for."""

    def checked(self, root: str) -> Path:
        """The folder, if nothing is missing from it."""
        if not root:
            raise DataUnavailable(
                f"The task {self.name!r} needs its files: --set task.root=DIR. They come from "
                f"{self.home}; `mmbench prepare {self.name} --root DIR` says what is missing."
            )
        if missing := self.missing(Path(root)):
            said = f"{root} is not whole: {'; '.join(missing)}."
            raise DataUnavailable(" ".join([said, *whereabouts(self.expects, Path(root))]))
        return Path(root)

    @classmethod
    def missing(cls, root: Path) -> list[str]:
        """What is not there, one sentence part for each."""
        if not root.is_dir():
            return [f"{root} is no folder"]
        return [
            f"{' or '.join(e.names)} is missing ({e.what})"
            for e in cls.expects
            if e.found(root) is None
        ]

    def lacking(self) -> list[str]:
        """Files that those of ``expects`` name and that are not there, one sentence part each."""
        return []

    @classmethod
    def path(cls, root: Path, number: int) -> Path:
        """Where the ``number``-th of ``expects`` lies."""
        found = cls.expects[number].found(root)
        assert found is not None  # checked before
        return found


class PublishedTable(Published):
    """A published data set that is rows of files and texts: ``rows`` makes the table of it."""

    places = frozenset({"root"})
    modalities: ClassVar[str]
    """As the task ``table`` takes them."""
    target_kind: ClassVar[str]
    metric: ClassVar[str]

    def __init__(self, *, root: str = "", image_size: int = 64) -> None:
        folder = self.checked(root)
        self.prepared = _prepared(type(self), folder, image_size)
        self.version = self.prepared.version
        self.task = replace(self.prepared.task, metric=self.metric)

    @classmethod
    @abstractmethod
    def rows(cls, root: Path) -> "pd.DataFrame":
        """The columns of ``modalities``, and ``label``, ``part`` and ``source``."""

    def lacking(self) -> list[str]:
        from mmbench.tables.media import ABSENT

        said = []
        for modality, (files, found) in self.prepared.stores.items():
            absent = [files.paths[i] for i, why in found.broken.items() if why == ABSENT]
            if absent:
                said.append(_absent(modality, absent, len(files.paths)))
        return said

    def preprocessing(self) -> dict[str, Any]:
        return self.prepared.preprocessing()

    def load(self, part: Part) -> Split:
        return self.prepared.split(part)


@lru_cache(maxsize=4)
def _prepared(cls: type[PublishedTable], root: Path, image_size: int) -> "Prepared":
    """Read once per process."""
    import numpy as np
    import pandas as pd

    from mmbench.tables.options import TableOptions
    from mmbench.tables.preparing import prepare_published

    with as_published(cls.name, root):
        table = cls.rows(root)
    _check_files(cls, root, table)
    digest = hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    options = TableOptions(
        path=str(root), root=str(root), target="label", target_kind=cls.target_kind,
        separator="|", modalities=cls.modalities, split="part", image_size=image_size,
        sha256=digest.hexdigest(),
    )  # fmt: skip
    sources = pd.factorize(table["source"])[0].astype(np.int64)
    return prepare_published(table.drop(columns="source"), sources, options)


def _check_files(cls: type[PublishedTable], root: Path, table: "pd.DataFrame") -> None:
    """``DataUnavailable`` if most files that the rows name are not there."""
    from mmbench.tables.cleaning import MOST_MISSING
    from mmbench.tables.modalities import parsed_modalities, read_columns
    from mmbench.tables.preparing import FILE_KINDS

    for column, kind, _ in read_columns(parsed_modalities(cls.modalities)):
        names = table[column].dropna().unique() if kind in FILE_KINDS else ()
        absent = [root / name for name in names if not (root / name).exists()]
        if len(absent) > MOST_MISSING * len(names):
            raise DataUnavailable(
                f"{root} is not whole: {_absent(column, absent, len(names))}. They come from "
                f"{cls.home}."
            )


def _absent(column: str, absent: Sequence[Path], of: int) -> str:
    are = "is" if len(absent) == 1 else "are"
    return f"{len(absent):,} of {of:,} files of {column!r} {are} missing, such as {absent[0]}"


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256 over the content of files."""
    digest = hashlib.sha256()
    for path in paths:
        now = path.stat()
        digest.update(_content(path, now.st_size, now.st_mtime_ns))
    return digest.hexdigest()


@lru_cache(maxsize=32)
def _content(path: Path, size: int, changed: int) -> bytes:  # noqa: ARG001 - told when to read anew
    """Gigabytes are read once per process, though a data set is made for every trial."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def validation_sources(sources: Sequence[str], share: float, seed: int) -> Iterator[bool]:
    """For each row whether its source is one of those drawn for validation."""
    for source in sources:
        drawn = hashlib.sha256(f"{seed}/{source}".encode()).digest()
        yield int.from_bytes(drawn[:4], "big") < share * 2**32
