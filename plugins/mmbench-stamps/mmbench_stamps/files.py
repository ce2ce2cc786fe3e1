"""Where the stamps lie, which there are, and which of them belong together.

A stamp is a picture (``bird.png`` or ``bird.svg``), descriptions (``bird.txt``: English, then one
line ``fr.utf8=…`` per language) and recordings of them read aloud (``bird_desc_fr.ogg``).
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmbench.api import DataUnavailable

ENVIRONMENT = "MMBENCH_STAMPS"
INSTALLED = Path("/usr/share/tuxpaint/stamps")
WITHIN = Path("usr/share/tuxpaint/stamps")
HINT = (
    "It is in the Debian package tuxpaint-stamps-default (161 MB, GPL-2). Install it, or unpack it "
    "without being root: `apt-get download tuxpaint-stamps-default && dpkg -x "
    f"tuxpaint-stamps-default_*.deb stamps && export {ENVIRONMENT}=$PWD/stamps`"
)
FOLDERS = ("animals", "clothes", "food", "household", "seasonal", "symbols", "town", "vehicles")
"""Those with more than 45 stamps; the other eight have 3 to 40."""
LINE = re.compile(r"([A-Za-z_@]+)\.utf8=(.*)")
VARIANT = re.compile(r"([-_](filled|outline|left|right|small|open|profile|cartoon|[a-c])|\d+)$")


@dataclass(frozen=True, slots=True)
class Stamp:
    """One picture with what is said of it."""

    picture: Path
    folder: str
    texts: Mapping[str, str]
    """By language; ``en`` is always there."""

    def recording(self, language: str) -> Path | None:
        path = self.picture.with_name(f"{self.picture.stem}_desc_{language}.ogg")
        return path if path.is_file() else None


def find_root() -> Path:
    """The folder with the stamps: named by the user, or where Debian puts it."""
    given = os.environ.get(ENVIRONMENT)
    places = [Path(given) / WITHIN, Path(given)] if given else [INSTALLED]
    for place in places:
        if any((place / folder).is_dir() for folder in FOLDERS):
            return place
    where = f"{ENVIRONMENT}={given} holds no stamps" if given else f"There are none in {INSTALLED}"
    raise DataUnavailable(f"The task needs Tux Paint's stamps. {where}. {HINT}")


def stamps(root: Path) -> list[Stamp]:
    """All that have a description, in a fixed order; a drawing is used only without a bitmap."""
    pictures = {p.with_suffix(""): p for kind in ("svg", "png") for p in _pictures(root, kind)}
    return [
        Stamp(picture, base.relative_to(root).parts[0], read_texts(base.with_suffix(".txt")))
        for base, picture in sorted(pictures.items())
        if base.with_suffix(".txt").is_file()
    ]


def _pictures(root: Path, kind: str) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (root / folder).rglob(f"*.{kind}")


def read_texts(file: Path) -> dict[str, str]:
    """A description by language, the first line as ``en``."""
    first, *others = file.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    texts = {"en": first.strip()}
    for line in others:
        if (found := LINE.fullmatch(line.strip())) and found[2].strip():
            texts[found[1]] = found[2].strip()
    return texts


def groups(found: list[Stamp]) -> list[str]:
    """The group of each stamp: those of one base name, or of one English text, are never split.

    ``heart_filled`` and ``heart_outline`` are one thing, and so are a photographed and a drawn
    mouse in two folders.
    """
    owner: dict[str, str] = {}

    def leader(key: str) -> str:
        while owner.setdefault(key, key) != key:
            key = owner[key]
        return key

    for stamp in found:
        name, text = leader(f"name {base_name(stamp)}"), leader(f"text {stamp.texts['en'].lower()}")
        first, second = sorted((name, text))
        owner[second] = first
    return [leader(f"name {base_name(stamp)}") for stamp in found]


def base_name(stamp: Stamp) -> str:
    """``heart`` of ``heart_filled``, ``gift`` of ``gift2``."""
    name = stamp.picture.stem.lower()
    while (shorter := VARIANT.sub("", name)) != name and shorter:
        name = shorter
    return name


def digest(found: list[Stamp], languages: tuple[str, ...]) -> str:
    """What there is, by names and sizes: it changes with the package's version."""
    text = hashlib.sha256()
    for stamp in found:
        recordings = [r for language in languages if (r := stamp.recording(language))]
        for file in (stamp.picture, stamp.picture.with_suffix(".txt"), *recordings):
            text.update(f"{stamp.folder}/{file.name} {file.stat().st_size}\n".encode())
    return text.hexdigest()[:12]
