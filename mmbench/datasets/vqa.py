"""``vqa``: questions about images of one coloured shape, from the PyPI package ``easy-vqa``.

Source: Victor Zhou, easy-VQA, 2019 (MIT). 64×64 RGB images, 13 answers; the package's own train and
test parts share no image. The questions alone answer two thirds (most are yes/no), the images alone
no more than the majority does: it takes both.

The data stays in the installed package; decoded images are cached. What is read is checked against
the hashes below, so the version states the content and not merely the distribution's number.
"""

import hashlib
import json
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._package import Package
from mmbench.datasets._stored import Array, stored
from mmbench.datasets._texts import shared_texts
from mmbench.errors import InvalidParameter
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

PACKAGE = Package(
    task="vqa",
    distribution="easy-vqa",
    version="1.0",
    module="easy_vqa",
    sha256={
        "data/train/questions.json": (
            "bb67697636aed0e65631d4266824aebeae5c833b0f37ed781e20752e85617ec5"
        ),
        "data/test/questions.json": (
            "0d4630a51bafec65343e2f6af9cdd20cf8eae214344ef57636202eec409553f7"
        ),
        "data/answers.txt": "f004fd115e14db5f70a3a4e1b06d89fd76d45d7446a62d12b50ed1ac2a1a824c",
    },
)
PIXELS = {
    "train": "eab3402e21bb0b3302a48c7c612b7b7820c4d012c39008a158362de0a83db4e2",
    "test": "441921d7bb137a2ba613fc72d48ca08c0bdcdf3bd313729fc953fcf8a235163c",
}
"""SHA-256 of the decoded images (images, 3, 64, 64) as bytes."""

IMAGES = {"train": 4000, "test": 1000}
VALIDATION_IMAGES = 400
TRAIN_IMAGES = IMAGES["train"] - VALIDATION_IMAGES
SPLIT_SEED = 20191106
ANSWERS = (
    *("circle", "green", "red", "gray", "yes", "teal", "black"),
    *("rectangle", "yellow", "triangle", "brown", "blue", "no"),
)
SHAPES = ("circle", "rectangle", "triangle")


class VQA(Dataset):
    """Ten or so questions per image; rows share images and question strings.

    With fewer ``train_images``, learning from little: validation and test stay as they are, and a
    smaller training part lies within a larger one.
    """

    name = "vqa"
    task = Task(
        modalities={"image": "image", "question": "text"},
        target="classification",
        outputs=ANSWERS,
        metric="accuracy",
        mirrored=("image",),  # no question asks where a shape is
    )
    card = Card(
        source="Victor Zhou, easy-VQA, 2019: the PyPI package easy-vqa 1.0",
        licence="MIT",
        split="the package's test part; 400 of the 4,000 train images are validation, by hash",
        rows={"train": 34_666, "val": 3_909, "test": 9_673},
        content={
            "train": "f0b0221a91fa3472162c39c4be94d7c80232034997ebd9ab1c5c93e963565006",
            "val": "3d5efb933e9b398f96eb3ae0d8cfc6075810b49ffd00378db10a06104bd38f72",
            "test": "ae3bc9521320278b2358555f1d10e5b5c0c3b9b629358ed279196c7dec0fae3d",
        },
        known=(
            Known("majority", 0.373),
            Known("image alone: HOG, logistic regression", 0.362),
            Known("question alone, upper bound", 0.670),
            Known("early: HOG and word counts, logistic regression", 0.854),
            Known("small CNN × bag of words", 0.938, "Zhou, 2019"),
            Known("a larger model on twice the data", 0.995, "Zhou, 2019"),
        ),
    )

    def __init__(self, *, train_images: int = TRAIN_IMAGES) -> None:
        if not 1 <= train_images <= TRAIN_IMAGES:
            raise InvalidParameter(
                f"vqa.train_images = {train_images!r}. Allowed: 1 to {TRAIN_IMAGES}."
            )
        self.train_images = train_images
        self.version = f"{PACKAGE.distribution}-{PACKAGE.version}/split-1"
        if train_images < TRAIN_IMAGES:
            self.version += f"/train_images={train_images}"

    def load(self, part: Part) -> Split:
        official = "test" if part == "test" else "train"
        entries = json.loads(PACKAGE.read(f"data/{official}/questions.json"))
        image_ids = torch.tensor([image for _, _, image in entries])
        keep = _rows_of(part, image_ids, self.train_images)
        image_ids = image_ids[keep]
        questions = [entries[row][0] for row in keep.tolist()]
        answers = [entries[row][1] for row in keep.tolist()]
        images, image_index = image_ids.unique(return_inverse=True)
        pixels = torch.from_numpy(_pixels(official))[images]
        return Split(
            columns={"image": Column(pixels, image_index), "question": shared_texts(questions)},
            target=torch.tensor([ANSWERS.index(answer) for answer in answers]),
            slices={"question_type": tuple(map(question_type, answers))},
            source=image_ids + (IMAGES["train"] if part == "test" else 0),
        )


def question_type(answer: str) -> str:
    """What a question asks for shows in its answer: ``yes/no``, ``shape`` or ``color``."""
    if answer in ("yes", "no"):
        return "yes/no"
    return "shape" if answer in SHAPES else "color"


def shuffled_images() -> list[int]:
    """The package's train images, those with the smallest seeded hashes first."""

    def rank(image: int) -> str:
        return hashlib.sha256(f"{SPLIT_SEED}/{image}".encode()).hexdigest()

    return sorted(range(IMAGES["train"]), key=rank)


def _rows_of(part: Part, image_ids: Tensor, train_images: int) -> Tensor:
    if part == "test":
        return torch.arange(len(image_ids))
    first, count = (0, VALIDATION_IMAGES) if part == "val" else (VALIDATION_IMAGES, train_images)
    wanted = torch.tensor(shuffled_images()[first : first + count])
    return torch.isin(image_ids, wanted).nonzero().squeeze(1)


def _pixels(official: str) -> Array:
    """(images, 3, 64, 64) of an official part: from the cache, else decoded and cached."""
    return stored(
        f"{PACKAGE.distribution}-{PACKAGE.version}/{official}.npy",
        PIXELS[official],
        partial(_decode, official),
        partial(PACKAGE.unexpected, f"the images of {official}"),
    )


def _decode(official: str) -> Array:
    from PIL import Image, UnidentifiedImageError

    def decode(number: int) -> Any:
        with Image.open(folder / f"{number}.png") as image:
            return np.asarray(image.convert("RGB"))

    folder = PACKAGE.folder() / "data" / official / "images"
    try:
        images = np.stack([decode(number) for number in range(IMAGES[official])])
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise PACKAGE.unexpected(f"the images of {official} ({error})") from error
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [VQA]
