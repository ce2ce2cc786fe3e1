"""``captions``: to say what an image shows; ``captions-retrieval``: to find it by what is said.

The images are those of ``vqa`` (easy-VQA, 64×64, one coloured shape). Colour and shape of a caption
follow from the answers to an image's questions, size and place from its pixels: "a small red circle
at the top left". Images of which the answers do not tell both are left out. A caption belongs to
every image that it is true of: both sides are searched in an index that rows share.

``captions`` asks for a part of it or for all: its prompts and images are no answer without each
other. So it takes fusion, as captions of images alone would not.
"""

from collections import defaultdict
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._items import pairs
from mmbench.datasets._texts import shared_texts
from mmbench.datasets.vqa import ANSWERS, SHAPES, VQA
from mmbench.hookspecs import hookimpl
from mmbench.sequences import END
from mmbench.types import Column, Part, Split, Task

COLOURS = tuple(answer for answer in ANSWERS if answer not in (*SHAPES, "yes", "no"))
NEGATIONS = {"not", "no"}
LARGE = 24
"""Pixels: of half of the shapes, the longer side of the box around them is at least so long."""
PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("at the left", "in the centre", "at the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)
"""Where the middle of that box is, by thirds of the image."""
CONTRAST = 30
"""Sum over channels of a pixel's differences from the ground, from which on it is of the shape."""
PROMPTS = {
    "describe the shape": "a {shape}",
    "describe the size and the colour": "a {size} {colour} shape",
    "describe the place": "a shape {place}",
    "describe everything": "a {size} {colour} {shape} {place}",
}
WORDS = (
    *("", "a", "shape", "large", "small", *sorted(COLOURS), *SHAPES),
    *("at", "in", "the", "top", "bottom", "left", "right", "centre"),
)
"""The tokens of a caption; the first one ends it."""
LENGTH = 9


class Captions(Dataset):
    """Every image with every prompt."""

    name = "captions"
    version = f"{VQA().version}/captions-1/prompts-1"
    task = Task(
        modalities={"image": "image", "prompt": "text"},
        target="sequence",
        outputs=WORDS,
        metric="exact-match",
        length=LENGTH,
    )
    card = Card(
        source="Victor Zhou, easy-VQA, 2019 (easy-vqa 1.0); captions from its answers and pixels",
        licence="MIT",
        split="that of vqa: the package's test part, and 400 of its train images for validation",
        rows={"train": 12_868, "val": 1_444, "test": 3_552},
        content={
            "train": "1a1653d2e5dadbb6a248aa1d6cd22865b8c3e7933397baf26eeb335b0c7279aa",
            "val": "d4225f196f40bdb0c5d114a0235e4bad40f9bdfcdd6a7c19018f1ac05cee7855",
            "test": "bbb7821362cdfc0e0142ce56b230cb21cb2fcff52f8e1015fcbbbf940763bbe7",
        },
        known=(
            Known("commonest sentence", 0.088),
            Known("prompt alone", 0.168),
            Known("image alone, upper bound", 0.250),
            Known("HOG and colours: logistic regressions of what the prompt asks for", 0.903),
        ),
    )

    def load(self, part: Part) -> Split:
        images, captions, source = captioned(part)
        prompts = list(PROMPTS) * len(captions)
        texts = [form.format(**c._asdict()) for c in captions for form in PROMPTS.values()]
        image = torch.arange(len(captions)).repeat_interleave(len(PROMPTS))
        return Split(
            columns={"image": Column(images, image), "prompt": shared_texts(prompts)},
            target=torch.tensor([spelled(text) for text in texts]),
            slices={"prompt": tuple(prompts)},
            source=source[image],
        )


def spelled(text: str) -> list[int]:
    """The tokens of a caption, filled up with ends."""
    tokens = [WORDS.index(word) for word in text.split()]
    return tokens + [END] * (LENGTH - len(tokens))


class CaptionsRetrieval(Dataset):
    """One caption an image; images share captions."""

    name = "captions-retrieval"
    version = f"{VQA().version}/captions-1"
    task = Task(
        modalities={"image": "image", "caption": "text"},
        target="retrieval",
        outputs=(),
        metric="mean-recall",
    )
    card = Card(
        source="Victor Zhou, easy-VQA, 2019 (easy-vqa 1.0); captions from its answers and pixels",
        licence="MIT",
        split="that of vqa: the package's test part, and 400 of its train images for validation",
        rows={"train": 3_217, "val": 361, "test": 888},
        content={
            "train": "18bf115eb25428eda9fad29b719d3ff7353154ab441684513e28ba825b9ec7fa",
            "val": "efd4997f1ba3f96e12427d633fd4de18440db908e7653d3462540b2e527d528c",
            "test": "c61136bd79e86249696e1f68cf1d0f54f63affa13f2630c01528995f5655beed",
        },
        known=(
            Known("chance", 0.018),
            Known("CCA: HOG and colours with TF-IDF, 100 dimensions", 0.940),
        ),
    )

    def load(self, part: Part) -> Split:
        images, captions, source = captioned(part)
        columns = {"image": Column(images), "caption": shared_texts([c.text for c in captions])}
        return Split(
            columns,
            target=pairs(*columns.values()),
            slices={
                "shape": tuple(c.shape for c in captions),
                "size": tuple(c.size for c in captions),
            },
            source=source,
        )


class Caption(NamedTuple):
    """What is said of an image."""

    size: str
    colour: str
    shape: str
    place: str

    @property
    def text(self) -> str:
        return f"a {self.size} {self.colour} {self.shape} {self.place}"


@cache
def captioned(part: Part) -> tuple[Tensor, tuple[Caption, ...], Tensor]:
    """Images (n, 3, 64, 64) whose colour and shape are known, their captions and their sources."""
    split = VQA().load(part)
    image, question = split.columns["image"], split.columns["question"]
    assert isinstance(image.values, Tensor) and isinstance(question.values, tuple)
    assert image.index is not None and question.index is not None and split.source is not None
    asked: dict[int, list[tuple[str, str]]] = defaultdict(list)
    rows = zip(image.index.tolist(), question.index.tolist(), split.target.tolist(), strict=True)
    for i, q, answer in rows:
        asked[i].append((question.values[q], ANSWERS[answer]))
    seen = zip(*looks(image.values), strict=True)
    captions = {}
    for i, (size, place) in enumerate(seen):
        colour, shape = (told(asked[i], words) for words in (COLOURS, SHAPES))
        if colour and shape:
            captions[i] = Caption(size, colour, shape, place)
    kept = torch.tensor(list(captions))
    sources = torch.empty(len(image.values), dtype=torch.long)
    sources[image.index] = split.source
    return image.values[kept], tuple(captions.values()), sources[kept]


def told(asked: list[tuple[str, str]], words: tuple[str, ...]) -> str | None:
    """The one of ``words`` that questions with their answers say is there, or leave over."""
    left = set(words)
    for question, answer in asked:
        said = set(question.rstrip("?").split())
        named = said & left
        if answer in ("yes", "no"):
            there = (answer == "yes") != bool(said & NEGATIONS)
            left = (named if there else left - named) if named else left
        else:
            left = left & {answer} or named or left
    return next(iter(left)) if len(left) == 1 else None


def looks(images: Tensor) -> tuple[list[str], list[str]]:
    """Size and place of the shape in each image (n, 3, side, side)."""
    pixels = images.int()
    ground = pixels.flatten(2).median(dim=2).values[:, :, None, None]
    shape = (pixels - ground).abs().sum(dim=1) >= CONTRAST  # (n, side, side)
    top, bottom = _ends(shape.any(dim=2))
    left, right = _ends(shape.any(dim=1))
    large = torch.maximum(bottom - top, right - left) + 1 >= LARGE
    thirds = [((low + high) * 3 // (2 * images.shape[-1])).tolist() for low, high in
              ((top, bottom), (left, right))]  # fmt: skip
    sizes = ["large" if is_large else "small" for is_large in large.tolist()]
    return sizes, [PLACES[down][along] for down, along in zip(*thirds, strict=True)]


def _ends(marked: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) the first and the last position that is marked of (n, side)."""
    marks = marked.int()
    return marks.argmax(dim=1), marks.shape[1] - 1 - marks.flip(1).argmax(dim=1)


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [Captions, CaptionsRetrieval]
