"""``vqa-spoken``: the questions of ``vqa`` as speech instead of text.

Images, answers and parts are those of ``easy-vqa``; eSpeak NG asks each question in voices of its
own for each part. A model must hear which of about a hundred sentences is said before it can look.
"""

import json
from dataclasses import replace
from functools import cache

import torch

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._seeded import generator
from mmbench.datasets._speech import DISTRIBUTION, VERSION, in_noise, spoken, takes
from mmbench.datasets._stored import Array
from mmbench.datasets.vqa import ANSWERS, PACKAGE, VQA
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

SAMPLES = 44_800  # 2.8 s
VOICES = {"train": 8, "val": 3, "test": 4}
SPEECH = {
    "train": "e5efcf29097cc4172f5cc28c480183a93968a49d2b8782fe2e309a59fe63043a",
    "val": "5d01a4de38c688b49c59bec7d0cd0aef7d27fcbe10888bd01bd3e175115c0393",
    "test": "3541252a586ad71734fa8d0dc24873214ebe5b8ab91c9be403b82a49c7467b12",
}
"""SHA-256 of the clean clips (clips, 44,800) int16 as bytes."""


class SpokenVQA(Dataset):
    """Rows share images and clips. By default of 1,000 training images, to be quick."""

    name = "vqa-spoken"
    task = Task(
        modalities={"image": "image", "speech": "audio"},
        target="classification",
        outputs=ANSWERS,
        metric="accuracy",
        mirrored=("image",),
    )
    card = Card(
        source="easy-VQA (PyPI easy-vqa 1.0); synthetic speech (eSpeak NG in espeakng-loader)",
        licence="MIT; the engine is GPL-3.0 and run in a process of its own",
        split="images as in vqa; voices by hash: 8 training, 3 validation, 4 test",
        rows={"train": 9_682, "val": 3_909, "test": 9_673},
        content={
            "train": "afc6a1675b83d486a8b676aaea2f7c50bbfe54fb26afd622288a1b1525effe66",
            "val": "57ca8eb6be79b208fa9d0abeee362c5d12bb7daf73d19dbfc2f95a7ce72b125c",
            "test": "9ecaa5863dd670248945725bddbb3dfe49361472ca3b9d11c164f37a59575e17",
        },
        known=(
            Known("majority", 0.373),
            Known("question alone, upper bound", 0.67),
        ),
    )

    def __init__(self, *, train_images: int = 1000, speech_db: float = 20.0) -> None:
        self.written = VQA(train_images=train_images)
        self.speech_db = speech_db
        self.version = f"{self.written.version}/{DISTRIBUTION}-{VERSION}/speech_db={speech_db}"

    def load(self, part: Part) -> Split:
        split = self.written.load(part)
        column, known = split.columns["question"], sentences()
        assert isinstance(column.values, tuple) and column.index is not None
        asked = torch.tensor([known.index(text) for text in column.values])[column.index]
        draw = generator("vqa-spoken", part)
        voice = torch.randint(VOICES[part], (len(split),), generator=draw)
        clips = in_noise(clean_speech(part), self.speech_db, draw)
        return replace(
            split,
            columns={
                "image": split.columns["image"],
                "speech": Column(clips, voice * len(known) + asked),
            },
        )


@cache
def sentences() -> tuple[str, ...]:
    """All questions; those of the test part occur in the train part."""
    entries = json.loads(PACKAGE.read("data/train/questions.json"))
    return tuple(sorted({question for question, _, _ in entries}))


def clean_speech(part: Part) -> Array:
    """(voices × sentences, samples): the first voice says all sentences, then the next."""
    utterances, _ = takes("vqa-spoken", part, sentences(), most=VOICES[part])
    return spoken("vqa-spoken", f"questions-{part}", utterances, SAMPLES, SPEECH[part])


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [SpokenVQA]
