"""Where everything of a job is kept, and with how many processes it is done."""

from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import StorageError
from mmbench.files import probe_writable
from mmbench.tracking import store_uri


@dataclass(frozen=True, slots=True)
class Places:
    """The folder of studies, models and runs; that of the boards; the storage of the study."""

    out: Path
    boards: Path
    storage: str | None = None

    def check(self) -> None:
        """Find out now, not after an hour, that nothing can be written."""
        for folder in (self.out, self.boards):
            try:
                probe_writable(folder)
            except OSError as error:
                raise StorageError(
                    f"{folder} cannot be written: {error.strerror or error}. "
                    f"Choose another folder with --out and --leaderboards."
                ) from error

    def study(self, name: str) -> Path:
        return self.out / name

    def finals(self, name: str) -> Path:
        return self.study(name) / "finals"

    def storage_url(self, name: str) -> str:
        return self.storage or str((self.study(name) / "study.journal").absolute())

    @property
    def tracking_uri(self) -> str:
        return store_uri(self.out)


@dataclass(frozen=True, slots=True)
class Crew:
    """The processes that do the work."""

    workers: int
    threads: int
    together: int = 1
    """At most so many trainings of one structure at once in each; 1: one after the other."""
