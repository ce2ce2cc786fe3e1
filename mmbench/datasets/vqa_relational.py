"""``vqa-relational``: Sort-of-CLEVR, questions about one object or about how objects relate.

Santoro et al., "A simple neural network module for relational reasoning", NeurIPS 2017 (arXiv
1706.01427). Images of 75×75 pixels show six objects, one of each colour, each a square or a circle.
Of every image ten questions are about one object (its shape, whether it is on the left, whether at
the top) and ten about how it relates to the others (the shape of the closest and of the furthest,
how many share its shape, itself counted). Colours and questions are drawn with replacement.

Differs from the paper: questions are English sentences instead of codes of eleven bits; 1,000 test
images instead of 200, for narrower intervals; validation has images of its own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._seeded import generator
from mmbench.errors import InvalidParameter
from mmbench.hookspecs import hookimpl
from mmbench.parts import PARTS
from mmbench.types import Column, Part, Split, Task

IMAGES = {"train": 9800, "val": 1000, "test": 1000}
SIDE, HALF, CLOSEST = 75, 5, 10  # pixels; objects are at least ``CLOSEST`` apart
PER_KIND = 10  # questions per image
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "orange": (255, 156, 0),
    "grey": (128, 128, 128),
    "yellow": (255, 255, 0),
}
ANSWERS = ("yes", "no", "square", "circle", "1", "2", "3", "4", "5", "6")
YES, NO, SQUARE, CIRCLE, ONE = range(5)
QUESTIONS = (
    "what shape is the {} object?",
    "is the {} object on the left?",
    "is the {} object at the top?",
    "what shape is the object closest to the {} one?",
    "what shape is the object furthest from the {} one?",
    "how many objects have the shape of the {} one?",
)
KINDS = ("shape", "left", "top", "closest", "furthest", "count")
SENTENCES = tuple(question.format(colour) for question in QUESTIONS for colour in COLOURS)


@dataclass(frozen=True, slots=True)
class Scenes:
    """Where the objects of some images are, and which shape they have."""

    centres: Tensor  # (images, colours, 2) x and y in pixels
    round: Tensor  # (images, colours), True for a circle

    def __len__(self) -> int:
        return len(self.centres)


class VQARelational(Dataset):
    """Twenty questions per image; rows share images and sentences.

    Fewer ``train_images`` lie within more of them; validation and test stay as they are.
    """

    name = "vqa-relational"
    task = Task(
        modalities={"image": "image", "question": "text"},
        target="classification",
        outputs=ANSWERS,
        metric="accuracy",
    )
    card = Card(
        source="generated after Santoro et al., NeurIPS 2017 (Sort-of-CLEVR)",
        licence="none needed: generated",
        split="every image is drawn afresh; the 20 questions about an image stay together",
        rows={"train": 196_000, "val": 20_000, "test": 20_000},
        content={
            "train": "8e9a772af77afedd5c0fa6e0b73b77b865f84a22bc8765e579b20a9a4d9df160",
            "val": "37db5ba585a2310ee553bff2c093d4ddbc76ad031349abbfa05c87ac14d0afcc",
            "test": "3165f3845746321ac20aea0ed8d0b35b5c943befc29faf016ed4729e1f9731fc",
        },
        known=(
            Known("question alone, upper bound", 0.51, within="non-relational"),
            Known("question alone, upper bound", 0.44, within="relational"),
            Known("CNN + MLP", 0.63, "Santoro et al., 2017", "relational"),
            Known("CNN + relation network", 0.94, "Santoro et al., 2017", "relational"),
            Known("CNN + relation network", 0.94, "Santoro et al., 2017", "non-relational"),
        ),
    )

    def __init__(self, *, train_images: int = IMAGES["train"]) -> None:
        if not 1 <= train_images <= IMAGES["train"]:
            raise InvalidParameter(
                f"vqa-relational.train_images = {train_images!r}. Allowed: 1 to {IMAGES['train']}."
            )
        self.train_images = train_images
        self.version = "1"
        if train_images < IMAGES["train"]:
            self.version += f"/train_images={train_images}"

    def load(self, part: Part) -> Split:
        scenes, asked, colour = drawn(part)
        if part == "train":
            kept = slice(self.train_images)
            scenes = Scenes(scenes.centres[kept], scenes.round[kept])
            asked, colour = asked[kept], colour[kept]
        images, questions = asked.shape
        index = torch.arange(images).repeat_interleave(questions)
        relational = (asked.flatten() >= 3).tolist()
        return Split(
            columns={
                "image": Column(pictures(scenes), index),
                "question": Column(SENTENCES, (asked * len(COLOURS) + colour).flatten()),
            },
            target=answers(scenes, asked, colour).flatten(),
            slices={
                "question": tuple("relational" if r else "non-relational" for r in relational),
                "asked": tuple(KINDS[kind] for kind in asked.flatten().tolist()),
            },
            source=index + sum(IMAGES[p] for p in PARTS[: PARTS.index(part)]),
        )


def drawn(part: Part) -> tuple[Scenes, Tensor, Tensor]:
    """The scenes of a part, and of each image which questions (images, 20) about which colours."""
    draw, images = generator("vqa-relational", part), IMAGES[part]
    scenes = Scenes(_centres(images, draw), torch.rand(images, len(COLOURS), generator=draw) < 0.5)
    kinds = torch.randint(3, (images, 2 * PER_KIND), generator=draw)
    kinds[:, PER_KIND:] += 3
    return scenes, kinds, torch.randint(len(COLOURS), kinds.shape, generator=draw)


def _centres(images: int, draw: torch.Generator) -> Tensor:
    """(images, colours, 2): each object is put down anew until it keeps its distance."""
    placed = torch.empty(images, 0, 2, dtype=torch.int64)
    for _ in COLOURS:
        new = torch.empty(images, 2, dtype=torch.int64)
        waiting = torch.arange(images)
        while len(waiting):
            new[waiting] = torch.randint(HALF, SIDE - HALF, (len(waiting), 2), generator=draw)
            apart = (placed[waiting] - new[waiting].unsqueeze(1)).square().sum(-1)
            waiting = waiting[(apart < CLOSEST**2).any(1)]
        placed = torch.cat([placed, new.unsqueeze(1)], dim=1)
    return placed


def pictures(scenes: Scenes) -> Tensor:
    """(images, 3, 75, 75) bytes: filled squares and circles on white."""
    images = torch.full((len(scenes), SIDE, SIDE, 3), 255, dtype=torch.uint8)
    reach = torch.arange(-HALF, HALF + 1)
    down, across = torch.meshgrid(reach, reach, indexing="ij")
    inside = down.square() + across.square() <= HALF * (HALF + 1)
    for place, rgb in enumerate(COLOURS.values()):
        covered = inside | ~scenes.round[:, place, None, None]  # (images, 11, 11)
        image, row, column = covered.nonzero(as_tuple=True)
        x, y = scenes.centres[image, place].unbind(1)
        images[image, y + reach[row], x + reach[column]] = torch.tensor(rgb, dtype=torch.uint8)
    return images.permute(0, 3, 1, 2).contiguous()


def answers(scenes: Scenes, asked: Tensor, colour: Tensor) -> Tensor:
    """(images, questions) classes; of objects equally far the one first in ``COLOURS`` counts."""
    apart = (scenes.centres.unsqueeze(2) - scenes.centres.unsqueeze(1)).square().sum(-1)
    itself = torch.eye(len(COLOURS), dtype=torch.bool)
    closest = apart.masked_fill(itself, 4 * SIDE**2).argmin(-1)
    furthest = apart.argmax(-1)
    same = (scenes.round.unsqueeze(2) == scenes.round.unsqueeze(1)).sum(-1)
    shape = torch.where(scenes.round, CIRCLE, SQUARE)
    half = scenes.centres * 2 < SIDE
    by_kind = torch.stack(
        [
            shape,
            torch.where(half[..., 0], YES, NO),
            torch.where(half[..., 1], YES, NO),
            shape.gather(1, closest),
            shape.gather(1, furthest),
            ONE - 1 + same,
        ],
        dim=1,
    )  # (images, kinds, colours)
    image = torch.arange(len(scenes)).unsqueeze(1)
    found: Tensor = by_kind[image, asked, colour]
    return found


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [VQARelational]
