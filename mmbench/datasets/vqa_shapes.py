"""``vqa-shapes``: yes or no of nine shapes on a grid, asked in sentences never seen in training.

After SHAPES of Andreas, Rohrbach, Darrell & Klein, "Neural Module Networks", CVPR 2016 (arXiv
1511.02799): 244 queries of two to four parts about images of 30×30 pixels, 64 images a query. A
query names what is looked for, one or two steps on the grid, and what is to be found there: "is a
red shape left of the cell above a circle?".

Differs from the original, whose files no package holds: the queries are our draw; half of a query's
images say yes (63 per cent of the originals say no); queries that ask the same in other words, as
"is a circle right of a red shape?" and "is a red shape left of a circle?", are in one part.
"""

from collections.abc import Iterator
from functools import cache
from itertools import product

import torch
from torch import Tensor

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._seeded import generator
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

GRID, CELL, IMAGES = 3, 10, 64  # cells a side, pixels of a cell, images of a query
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SHAPES = ("circle", "square", "triangle")
FULL = 0.75
"""How many of the cells hold a shape."""
ATTRIBUTES = (*COLOURS, *SHAPES)
STEPS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
"""Where a cell is that is so of another, in rows and columns."""
CLASSES = {"two": 9, "three": 72, "straight": 21, "diagonal": 10}
"""How many classes of queries that mean the same are drawn of each form: 244 queries in all."""
HELD_OUT = {"two": 1, "three": 4, "straight": 1, "diagonal": 1}
"""How many of these are for validation, and as many for test: 16 queries each."""

Query = tuple[str, tuple[str, ...], str]
"""What is looked for, the steps from it to a cell, and what that cell holds."""


class VQAShapes(Dataset):
    """An image of its own for each row; rows share sentences."""

    name = "vqa-shapes"
    version = "1"
    task = Task(
        modalities={"image": "image", "question": "text"},
        target="classification",
        outputs=("no", "yes"),
        metric="accuracy",
    )
    card = Card(
        source="generated after Andreas et al., CVPR 2016 (SHAPES)",
        licence="none needed: generated",
        split="by query: those of validation and test are not asked in training, in no words",
        rows={"train": 13_568, "val": 1_024, "test": 1_024},
        content={
            "train": "4c4c28dc846446eff56f910f811586b7f96bc727ff0a23d0a5f9d28043ff3fac",
            "val": "8f5ebaff036662d6197997c57ca0d597722d92dc44c016b64d2860a7cec67b81",
            "test": "34eeab5dc50f64021103bc002312350d69f43eba37bf6a989443c6e55ff85d21",
        },
        known=(
            Known("majority, or question alone", 0.5),
            Known("majority, of the originals", 0.63, "Andreas et al., 2016"),
            Known("VIS + LSTM, on the originals", 0.653, "Andreas et al., 2016"),
            Known("neural module network, on the originals", 0.906, "Andreas et al., 2016"),
        ),
    )

    def load(self, part: Part) -> Split:
        asked = queries()[part]
        draw = generator("vqa-shapes", f"images of {part}")
        scenes, target = zip(*(_scenes(query, draw) for query in asked), strict=True)
        return Split(
            columns={
                "image": Column(pictures(torch.cat(scenes))),
                "question": Column(
                    tuple(map(sentence, asked)),
                    torch.arange(len(asked)).repeat_interleave(IMAGES),
                ),
            },
            target=torch.cat(target),
            slices={"parts": tuple(str(len(q[1]) + 2) for q in asked for _ in range(IMAGES))},
        )


@cache
def queries() -> dict[Part, list[Query]]:
    """Those of each part; what asks the same stays together."""
    found: dict[Part, list[Query]] = {"train": [], "val": [], "test": []}
    draw = generator("vqa-shapes", "queries")
    for form, classes in _classes().items():
        kept = [classes[i] for i in torch.randperm(len(classes), generator=draw).tolist()]
        kept, held = kept[: CLASSES[form]], HELD_OUT[form]
        for number, equal in enumerate(kept):
            part: Part = "test" if number < held else "val" if number < 2 * held else "train"
            found[part] += sorted(equal)
    return found


def _classes() -> dict[str, list[set[Query]]]:
    """By form all sets of queries that mean the same."""
    by_form: dict[str, dict[frozenset[tuple[object, ...]], set[Query]]] = {f: {} for f in CLASSES}
    for one, steps, other in _all():
        down, across = moved(steps)
        form = {0: "two", 1: "three"}.get(len(steps), "diagonal" if down and across else "straight")
        meaning = frozenset([(one, down, across, other), (other, -down, -across, one)])
        by_form[form].setdefault(meaning, set()).add((one, steps, other))
    return {form: list(found.values()) for form, found in by_form.items()}


def _all() -> Iterator[Query]:
    """A colour and a shape of one cell; or two attributes one or two steps apart."""
    for one, other in product(ATTRIBUTES, repeat=2):
        if (one in COLOURS) != (other in COLOURS):
            yield one, (), other
        yield from ((one, (step,), other) for step in STEPS)
        yield from ((one, two, other) for two in product(STEPS, repeat=2) if any(moved(two)))


def moved(steps: tuple[str, ...]) -> tuple[int, int]:
    """Rows and columns from the cell that is named last to the one that is looked for."""
    return sum(STEPS[s][0] for s in steps), sum(STEPS[s][1] for s in steps)


def sentence(query: Query) -> str:
    """``is a red shape left of the cell above a circle?``, for instance."""
    one, steps, other = query
    named = [f"a {a} shape" if a in COLOURS else f"a {a}" for a in (one, other)]
    return f"is {' '.join([named[0], ' the cell '.join(steps), named[1]]).replace('  ', ' ')}?"


def _scenes(query: Query, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Scenes (64, 3, 3), half of them with the answer yes, and these answers, in a random order."""
    drawn = torch.randint(9, (100 * IMAGES, GRID, GRID), generator=draw)
    drawn[torch.rand(drawn.shape, generator=draw) >= FULL] = -1
    says = answers(query, drawn)
    half = IMAGES // 2
    kept = torch.cat([answer.nonzero().flatten()[:half] for answer in (says, ~says)])
    kept = kept[torch.randperm(IMAGES, generator=draw)]
    return drawn[kept], says[kept].long()


def answers(query: Query, scenes: Tensor) -> Tensor:
    """(scenes,) whether it is so anywhere. A cell holds ``3 · colour + shape``, or -1 if empty."""
    one, steps, other = query
    down, across = moved(steps)
    found = torch.zeros(len(scenes), dtype=torch.bool)
    for row, column in product(range(GRID), repeat=2):
        at, beside = row + down, column + across
        if 0 <= at < GRID and 0 <= beside < GRID:
            found |= _has(one, scenes[:, at, beside]) & _has(other, scenes[:, row, column])
    return found


def _has(attribute: str, cells: Tensor) -> Tensor:
    number = ATTRIBUTES.index(attribute)
    if attribute in COLOURS:
        return cells.div(len(SHAPES), rounding_mode="floor") == number  # -1 // 3 is no colour
    return (cells >= 0) & (cells % len(SHAPES) == number - len(COLOURS))


def pictures(scenes: Tensor) -> Tensor:
    """(scenes, 3, 30, 30) bytes: coloured shapes on black."""
    shapes, colours = outlines(), torch.tensor(list(COLOURS.values()), dtype=torch.uint8)
    tiles = colours[:, None, :, None, None] * shapes[None, :, None]  # (colour, shape, 3, 10, 10)
    tiles = torch.cat([tiles.flatten(0, 1), torch.zeros_like(tiles[0, :1])])  # the last is empty
    return tiles[scenes].permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3).contiguous()


def outlines() -> Tensor:
    """(shape, 10, 10) bytes, 1 where a circle, a square or a triangle is."""
    reach = torch.arange(CELL) - (CELL - 1) / 2
    down, across = torch.meshgrid(reach, reach, indexing="ij")
    square = torch.maximum(down.abs(), across.abs()) < 4
    circle = down.square() + across.square() < 16
    triangle = square & (2 * across.abs() < down + 4)
    return torch.stack([circle, square, triangle]).to(torch.uint8)


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [VQAShapes]
