"""Data that lies inside an installed package. Its files are read; the package is not imported.

What is read is checked against pinned hashes, so that a task's version states the content and not
merely a distribution's number.
"""

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import DataUnavailable


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution at a version, and the SHA-256 of those of its files that a task reads."""

    task: str
    distribution: str
    version: str
    module: str
    sha256: Mapping[str, str]
    """By path within the module."""

    @property
    def pinned(self) -> str:
        return f"{self.distribution}=={self.version}"

    def folder(self) -> Path:
        """Where the module lies."""
        found = importlib.util.find_spec(self.module)
        if found is None or not found.submodule_search_locations:
            raise DataUnavailable(
                f"The task {self.task!r} reads the package {self.distribution}, which is not "
                f"installed. Install it: pip install {self.pinned}"
            )
        return Path(found.submodule_search_locations[0])

    def read(self, name: str) -> bytes:
        """A file's content, as it was pinned."""
        try:
            content = (self.folder() / name).read_bytes()
        except OSError as error:
            raise self.unexpected(f"{name} ({error})") from error
        if hashlib.sha256(content).hexdigest() != self.sha256[name]:
            raise self.unexpected(name)
        return content

    def unexpected(self, what: str) -> DataUnavailable:
        """The error to raise where the package's content is not that of the version."""
        try:
            installed = importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            installed = "of unknown version"
        return DataUnavailable(
            f"The installed {self.distribution} {installed} does not hold the data of version "
            f"{self.version}: {what} differ. "
            f"Reinstall it: pip install --force-reinstall {self.pinned}"
        )
