"""``table``: your own data, a table with columns of any kind. ``--data FILE --target COLUMN``.

A name after a dot, as in ``table.pets``, tells the boards of several tables apart.
"""

from pathlib import Path
from typing import Any

from mmbench.contracts import Dataset
from mmbench.errors import DataUnavailable
from mmbench.hookspecs import hookimpl
from mmbench.types import Part, Split


class Table(Dataset):
    """Your own data: CSV, TSV, Parquet or JSON lines, with paths, texts, numbers, categories."""

    name = "table"
    rows_may_recur = True  # equal rows were kept together or named before anything is trained
    places = frozenset({"path", "root"})

    def __init__(
        self,
        *,
        path: str = "",
        sha256: str = "",
        target: str = "",
        target_kind: str = "",
        separator: str = "",
        modalities: str = "",
        mirrored: str = "",
        split: str = "0.8/0.1/0.1",
        root: str = "",
        image_size: int = 64,
        audio_seconds: float = 0.0,
        frames: int = 8,
        seed: int = 0,
    ) -> None:
        if not path:
            raise DataUnavailable(
                "The task 'table' needs your data: --data FILE --target COLUMN, or "
                "--set task.path=FILE --set task.target=COLUMN."
            )
        from mmbench.tables.options import TableOptions
        from mmbench.tables.preparing import prepare

        self.options = TableOptions(
            path=path, sha256=sha256, target=target, target_kind=target_kind, separator=separator,
            modalities=modalities, mirrored=mirrored, split=split, root=root, image_size=image_size,
            audio_seconds=audio_seconds, frames=frames, seed=seed,
        )  # fmt: skip
        if sha256 and not Path(path).exists():
            raise DataUnavailable(
                f"There is no table {path} here. Where it lies now is said by --set "
                "task.path=FILE (of its files: task.root=DIR), or by --data FILE in a search."
            )
        self.prepared = prepare(self.options)
        self.version = self.prepared.version
        self.task = self.prepared.task

    def preprocessing(self) -> dict[str, Any]:
        return self.prepared.preprocessing()

    def load(self, part: Part) -> Split:
        return self.prepared.split(part)


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [Table]
