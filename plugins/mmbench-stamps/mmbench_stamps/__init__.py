"""``stamps``: what kind of thing a stamp of Tux Paint shows, from picture, text and speech.

Source: Tux Paint stamps (Bill Kendrick and contributors, 2002–2022, GPL-2), the Debian package
``tuxpaint-stamps-default``: pictures with descriptions in 60 languages, many of them read aloud by
people. The kind is the folder that the authors put a stamp into. Not every description was
recorded in every language: where it was not, speech is truly missing.

The data stays where it is installed or unpacked; what is decoded is cached.
"""

import hashlib
import os
from functools import cached_property

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmbench.api import (
    MISSING,
    Card,
    Column,
    Dataset,
    Known,
    Part,
    Split,
    Task,
    cache_root,
    hookimpl,
)
from mmbench_stamps.decoding import clip, padded, picture
from mmbench_stamps.files import FOLDERS, Stamp, digest, find_root, groups, stamps

SHARES: dict[Part, float] = {"train": 0.6, "val": 0.15, "test": 0.25}


def card(content: dict[Part, str], known: dict[str, float], note: str) -> Card:
    """What the two tasks have in common, and what is known of one."""
    return Card(
        source="Tux Paint stamps (Kendrick and contributors, 2002-2022): the Debian package "
        "tuxpaint-stamps-default 2022.06.04-1",
        licence="GPL-2: read where it is installed, not copied",
        split="whole groups of variants and equal descriptions, by the hash of their name",
        rows={"train": 479, "val": 126, "test": 202},
        content=content,
        known=tuple(Known(what, score) for what, score in known.items()),
        note=note,
    )


class Stamps(Dataset):
    """Eight kinds; ``text`` and ``speech`` are the languages written and spoken."""

    name = "stamps"
    card = card(
        {
            "train": "a496cbe5227a37ca178bd49d27cc7a290f6b26f83a03c6e13b13767f1deb7013",
            "val": "5dc813f23b2ec4d2a2ac9a8e186d477353f7e4d6f71af579e953c61b77a26871",
            "test": "07cc93f8882e03317b3eb7ae0bf19dcd661c835f99e843d255caeed9dfa12a1c",
        },
        {
            "majority": 0.297,
            "image: gradients and colours, logistic regression": 0.540,
            "text: tf-idf of words": 0.599,
            "speech: cepstra": 0.396,
            "early: the same": 0.564,
            "late: the same": 0.639,
        },
        "French was recorded of all but 15 stamps.",
    )

    def __init__(self, *, text: str = "en", speech: str = "fr", size: int = 64) -> None:
        self.text, self.speech, self.size = text, speech, size
        self.task = Task(
            modalities={"image": "image", "text": "text", "speech": "audio"},
            target="classification",
            outputs=FOLDERS,
            metric="accuracy",
        )

    @cached_property
    def stamps(self) -> list[Stamp]:
        return stamps(find_root())

    @cached_property
    def version(self) -> str:  # type: ignore[override]
        """Of the split, the files and the languages."""
        files = digest(self.stamps, (self.speech,))
        return f"split-1/{files}/text={self.text},speech={self.speech},size={self.size}"

    def load(self, part: Part) -> Split:
        """Rows of whole groups; speech and text are missing where the package has none."""
        group = groups(self.stamps)
        wanted = set(groups_of(part, group))
        rows = torch.tensor([i for i, name in enumerate(group) if name in wanted])
        decoded = self._decoded()
        columns = {
            "image": Column(decoded["pixels"]),
            "text": _described([stamp.texts.get(self.text) for stamp in self.stamps]),
            "speech": Column(decoded["clips"], decoded["clip_of"]),
        }
        known = sorted(set(group))
        spoken = ["recorded" if i != MISSING else "missing" for i in decoded["clip_of"].tolist()]
        return Split(
            {m: column.rows(rows) for m, column in columns.items()},
            torch.tensor([FOLDERS.index(self.stamps[i].folder) for i in rows.tolist()]),
            slices={"speech": tuple(spoken[i] for i in rows.tolist())},
            source=torch.tensor([known.index(group[i]) for i in rows.tolist()]),
        )

    def _decoded(self) -> dict[str, Tensor]:
        """All pixels and clips: from the cache, else decoded (a minute) and cached."""
        key = hashlib.sha256(self.version.encode()).hexdigest()[:16]
        file = cache_root() / "data" / "stamps" / f"{key}.safetensors"
        try:
            return load_file(file)
        except (OSError, SafetensorError):
            decoded = decode(self.stamps, self.speech, self.size)
        partial = file.with_suffix(f".{os.getpid()}")
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(decoded, partial)
        partial.replace(file)
        return decoded


class SparseStamps(Stamps):
    """As ``stamps``, but spoken Danish: two thirds of the recordings do not exist."""

    name = "stamps-sparse"
    card = card(
        {
            "train": "3da6b23f0468701606f77f789b40055ce84938c4e14cfd9958c0f574480840ab",
            "val": "45faba1e1150a618d8cd2220a4fb43a595cbe4913e3cb13c17f040e3358008de",
            "test": "b83dcabc08998219f43c53dd6c61848972357a481650b995c68b5bc7711a6944",
        },
        {
            "majority": 0.297,
            "image: gradients and colours, logistic regression": 0.540,
            "text: tf-idf of words": 0.599,
            "speech: cepstra": 0.530,
            "early: the same": 0.663,
            "late: the same": 0.728,
        },
        "Danish was recorded of a third of the stamps, of some kinds more than of others: that it "
        "is missing tells something, too.",
    )

    def __init__(self, *, text: str = "en", speech: str = "da", size: int = 64) -> None:
        super().__init__(text=text, speech=speech, size=size)


def decode(found: list[Stamp], language: str, size: int) -> dict[str, Tensor]:
    """Pixels (stamps, 3, size, size), clips (recordings, samples), which clip each stamp has."""
    files = [stamp.recording(language) for stamp in found]
    recorded = [file for file in files if file is not None]
    place = {file: i for i, file in enumerate(recorded)}
    return {
        "pixels": torch.stack([picture(stamp.picture, size) for stamp in found]),
        "clips": padded([clip(file) for file in recorded]),
        "clip_of": torch.tensor([place[file] if file else MISSING for file in files]),
    }


def groups_of(part: Part, group: list[str]) -> list[str]:
    """The groups of a part: those with the smallest hashes are training, and so on."""
    ranked = sorted(set(group), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    first = 0.0
    for other, share in SHARES.items():
        if other == part:
            return ranked[round(first * len(ranked)) : round((first + share) * len(ranked))]
        first += share
    raise ValueError(part)


def _described(texts: list[str | None]) -> Column:
    """A column of the texts there are; the others are missing."""
    there = [text for text in texts if text]
    places = iter(range(len(there)))
    return Column(tuple(there), torch.tensor([next(places) if t else MISSING for t in texts]))


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [Stamps, SparseStamps]
