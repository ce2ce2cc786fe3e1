"""``av-folders``: sounds with pictures in one folder per class, as CREMA-D or Kinetics-Sounds lie.

    root/train/CLASS/clip.wav     and beside it clip/ (frames), or clip.jpg
    root/val/…  root/test/…       or root/CLASS/… without parts, which are then drawn by clip

A clip may lack its sound or its pictures: that modality is missing for it.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.contracts import Dataset
from mmbench.datasets._published import PublishedTable
from mmbench.errors import DataUnavailable
from mmbench.hookspecs import hookimpl

if TYPE_CHECKING:
    import pandas as pd

SEED = 2026
LAYOUT = (
    "expected are {root}/train/CLASS/clip.wav with clip.jpg or a folder clip/ of frames beside it, "
    "the same under {root}/val and {root}/test, or {root}/CLASS/… without parts"
)


class AVFolders(PublishedTable):
    """Classes are the names of folders."""

    name = "av-folders"
    home = "your own folder, or the data set's authors"
    expects = ()
    modalities = '{"sound": {"audio": ["sound"]}, "frames": {"video": ["frames"]}}'
    target_kind = "classification"
    metric = "accuracy"

    @classmethod
    def missing(cls, root: Path) -> list[str]:
        if not root.is_dir():
            return [f"{root} is no folder"]
        clips = list(_clips(root))
        if not clips:
            return [f"{root} has no clip in it: {LAYOUT.format(root=root)}"]
        if len({clip["label"] for clip in clips}) < 2:
            one = f"{root} has one class, {clips[0]['label']!r}; two are needed"
            return [f"{one}: {LAYOUT.format(root=root)}"]
        without = [what for what in ("sound", "frames") if not any(clip[what] for clip in clips)]
        return [f"no clip of {root} has {what}: {LAYOUT.format(root=root)}" for what in without]

    @classmethod
    def rows(cls, root: Path) -> "pd.DataFrame":
        import pandas as pd

        table = pd.DataFrame(list(_clips(root)))
        if (table["part"] == "").all():
            table["part"] = [_drawn(name) for name in table["source"]]
        elif (table["part"] == "").any():
            raise DataUnavailable(
                f"{root} mixes folders of parts (train, val, test) with classes: "
                f"{LAYOUT.format(root=root)}."
            )
        return table


def _clips(root: Path) -> Iterator[dict[str, object]]:
    """One row per clip, whatever of it there is."""
    from mmbench.tables.media import inside
    from mmbench.tables.splitting import NAMES

    for folder in filter(Path.is_dir, inside(root)):
        part = NAMES.get(folder.name.lower(), "")
        classes = list(filter(Path.is_dir, inside(folder))) if part else [folder]
        for label in classes:
            found: dict[str, dict[str, str]] = {}
            for path in sorted(inside(label), key=_is_film):  # frames go before their film
                modality = _modality(path)
                if modality:
                    name = path.name if path.is_dir() else path.stem
                    paths = found.setdefault(name, {})
                    paths.setdefault(modality, str(path.relative_to(root)))
            for name, paths in found.items():
                yield {
                    "sound": paths.get("sound"), "frames": paths.get("frames"),
                    "label": label.name, "part": part, "source": f"{part}/{label.name}/{name}",
                }  # fmt: skip


def _modality(path: Path) -> str:
    from mmbench.tables.endings import READ

    suffix = path.suffix.lower()
    if path.is_dir() or suffix in READ["image"] or _is_film(path):
        return "frames"
    return "sound" if suffix in READ["audio"] else ""


def _is_film(path: Path) -> bool:
    """It is not decoded, but listed as what a clip lacks."""
    from mmbench.tables.endings import FILMS

    return path.suffix.lower() in FILMS and not path.is_dir()


def _drawn(name: str) -> str:
    """Eight, one and one in ten clips."""
    tenth = hashlib.sha256(f"{SEED}/{name}".encode()).digest()[0] % 10
    return {0: "val", 1: "test"}.get(tenth, "train")


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [AVFolders]
