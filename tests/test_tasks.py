"""The built-in tasks beside ``vqa`` and the generated bits: content, splits, what rows mean."""

from collections import Counter, defaultdict

import pytest
import torch

from mmbench.datasets import vqa_relational
from mmbench.errors import InvalidParameter
from mmbench.parts import content_digest
from mmbench.testing import check_dataset
from mmbench.types import Split


def texts(split: Split, modality: str) -> list[str]:
    """(rows,) the string of each row."""
    column = split.columns[modality]
    return [column.values[i] for i in column.index.tolist()]


def without_looking(split: Split, modality: str) -> float:
    """The best accuracy on these rows of a rule that knows one modality's value only."""
    seen = defaultdict(Counter)
    for value, target in zip(texts(split, modality), split.target.tolist(), strict=True):
        seen[value][target] += 1
    return sum(max(counts.values()) for counts in seen.values()) / len(split)


def sliced(split: Split, name: str, value: str) -> Split:
    return split.rows(torch.tensor([i for i, v in enumerate(split.slices[name]) if v == value]))


# vqa-relational --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sort_of_clevr() -> Split:
    return vqa_relational.VQARelational().load("test")


def test_relational_questions_alone_say_half(sort_of_clevr):
    bounds = {
        kind: without_looking(sliced(sort_of_clevr, "question", kind), "question")
        for kind in ("non-relational", "relational")
    }
    known = {
        k.within: k.score for k in vqa_relational.VQARelational.card.known if "bound" in k.what
    }
    assert bounds == pytest.approx(known, abs=0.02)
    assert Counter(sort_of_clevr.slices["question"]) == {
        "non-relational": 10_000,
        "relational": 10_000,
    }


def seen_in(image: torch.Tensor) -> dict[str, tuple[float, float, str]]:
    """By colour: centre and shape, from the pixels alone."""
    found = {}
    for colour, rgb in vqa_relational.COLOURS.items():
        y, x = (image == torch.tensor(rgb)[:, None, None]).all(0).nonzero(as_tuple=True)
        shape = {121: "square", 97: "circle"}.get(len(y), "partly covered")
        found[colour] = ((y.min() + y.max()).item() / 2, (x.min() + x.max()).item() / 2, shape)
    return found


def answered(question: str, objects: dict[str, tuple[float, float, str]]) -> str:
    (colour,) = [c for c in objects if f" {c} " in question]
    y, x, shape = objects[colour]
    apart = {c: (p - y) ** 2 + (q - x) ** 2 for c, (p, q, _) in objects.items() if c != colour}
    if "closest" in question:
        return objects[min(apart, key=apart.get)][2]
    if "furthest" in question:
        return objects[max(apart, key=apart.get)][2]
    if "how many" in question:
        return str(sum(other == shape for _, _, other in objects.values()))
    if "left" in question:
        return "yes" if x < 37.5 else "no"
    return ("yes" if y < 37.5 else "no") if "top" in question else shape


def test_relational_answers_follow_from_the_pixels(sort_of_clevr):
    images, asked = sort_of_clevr.columns["image"], texts(sort_of_clevr, "question")
    checked = Counter()
    for row in range(0, len(sort_of_clevr), 29):
        objects = seen_in(images.values[images.index[row]])
        if any(shape == "partly covered" for *_, shape in objects.values()):
            continue
        answer = vqa_relational.ANSWERS[sort_of_clevr.target[row]]
        assert answer == answered(asked[row], objects), (row, asked[row], objects)
        checked[sort_of_clevr.slices["asked"][row]] += 1
    assert min(checked[kind] for kind in vqa_relational.KINDS) > 20


def test_relational_objects_keep_their_distance():
    scenes, _, _ = vqa_relational.drawn("val")
    apart = torch.cdist(scenes.centres.float(), scenes.centres.float())
    assert apart[~torch.eye(6, dtype=torch.bool).expand_as(apart)].min() >= 10


def test_relational_content_and_contract(sort_of_clevr):
    card = vqa_relational.VQARelational.card
    assert content_digest(sort_of_clevr) == card.content["test"]
    check_dataset(vqa_relational.VQARelational(train_images=20))
    few, more = (vqa_relational.VQARelational(train_images=n).load("train") for n in (3, 5))
    assert len(few) == 60
    assert torch.equal(few.columns["image"].values, more.columns["image"].values[:3])
    with pytest.raises(InvalidParameter, match="1 to 9800"):
        vqa_relational.VQARelational(train_images=0)
