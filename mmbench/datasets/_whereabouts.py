"""Where files of a published data set are that are not where they are looked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})


@dataclass(frozen=True, slots=True)
class Expected:
    """A file or folder that has to be there; several names mean any one of them."""

    names: tuple[str, ...]
    what: str

    def found(self, root: Path) -> Path | None:
        return next((root / name for name in self.names if (root / name).exists()), None)


def whereabouts(expects: Sequence[Expected], root: Path) -> list[str]:
    """What to do about what is missing from ``root``, in sentences."""
    from mmbench.tables.findings import listed

    if not expects or not root.is_dir():
        return []
    below = list(_below(root))
    for folder in (*below, root.absolute().parent):
        if all(expected.found(folder) for expected in expects):
            return [f"All of it is in {folder}: give that folder."]
    lacking = [expected for expected in expects if expected.found(root) is None]
    astray = [next(filter(None, map(expected.found, below)), None) for expected in lacking]
    packed = [path.name for path in sorted(root.iterdir()) if path.suffix.lower() in ARCHIVES]
    says = []
    if any(astray):
        says.append(f"Move {listed([str(path) for path in astray if path])} into {root}.")
    if packed and lacking:
        says.append(f"Unpack {listed(packed)}.")
    return says


def _below(root: Path, depth: int = 2) -> Iterator[Path]:
    """The folders in ``root``, and those in them."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir()) if depth else ():
        yield folder
        yield from _below(folder, depth - 1)
