"""``av-digits``: which digit was written and spoken, when neither can be made out well.

After AV-MNIST (Vielzeuf et al., "CentralNet", ECCV Workshops 2018): an image and a spoken word of
the same digit are put together at random. Images are the 8×8 handwritten ones of scikit-learn (UCI,
Alpaydin & Kaynak, 1998), with Gaussian noise of standard deviation 12 on a scale from 0 to 16;
speech is synthetic, in 70 voices of six accents, under white noise ten times as strong. Neither the
images nor the voices of test occur in training. Without noise either modality would do.
"""

import gzip
import hashlib
from functools import cache

import numpy as np
import torch
from torch import Tensor

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._package import Package
from mmbench.datasets._seeded import generator
from mmbench.datasets._speech import DISTRIBUTION, VERSION, in_noise, spoken, takes
from mmbench.datasets._stored import Array
from mmbench.errors import InvalidParameter
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

IMAGES = Package(
    task="av-digits",
    distribution="scikit-learn",
    version="1.9.1",
    module="sklearn",
    sha256={
        "datasets/data/digits.csv.gz": (
            "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
        )
    },
)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SAMPLES = 12_800  # 0.8 s
TAKES = 2
"""Times each voice says each word, at another rate and pitch."""
PAIRS = 2
"""Rows of each image, each with another noise and another clip."""
PART_OF_SHARE: tuple[Part, ...] = ("train",) * 11 + ("val",) * 2 + ("test",) * 7
SPEECH = {
    "train": "2fd5ffd74f79732b78e15d054ea7f91ce896ec507714c69aa02b6e031a64ef78",
    "val": "ede0cf019b5b387ea286cad7eaedde39f67a6717b50907ea1ea82856bc0a7d2b",
    "test": "ad719fecb7de78d8aebf0cfdbc989bb6121f5c7127fd0c3f6ad7d8cf366f19e4",
}
"""SHA-256 of the clean clips (clips, 12,800) int16 as bytes."""


class AVDigits(Dataset):
    """Two rows of each image; rows share clips."""

    name = "av-digits"
    task = Task(
        modalities={"image": "image", "speech": "audio"},
        target="classification",
        outputs=WORDS,
        metric="accuracy",
    )
    card = Card(
        source="digits of scikit-learn (UCI) and synthetic speech (eSpeak NG in espeakng-loader)",
        licence="images CC BY 4.0; the engine is GPL-3.0 and run in a process of its own",
        split="images by hash, 55, 10 and 35 %; voices by hash, 60, 15 and 25 %",
        rows={"train": 1_966, "val": 352, "test": 1_276},
        content={
            "train": "3de640c0c98d54951700718cb810abdd510fc4c481f2487547911be915cd6931",
            "val": "1ee6c6636a2186a78405bdbc7ae36496c0987ef6ad20b098051dde5a00999026",
            "test": "a461da57eb8b1ac55ddb0bb32e34d2b30316fa2241dd24f105e4bb309ccf4934",
        },
        known=(
            Known("majority", 0.085),
            Known("image: pixels, logistic regression", 0.532),
            Known("speech: MFCC statistics, logistic regression", 0.696),
            Known("early: both", 0.809),
            Known("late: both", 0.826),
        ),
    )

    def __init__(self, *, image_noise: float = 12.0, speech_db: float = -10.0) -> None:
        if not image_noise >= 0:
            raise InvalidParameter(f"av-digits.image_noise = {image_noise!r}. Allowed: 0 or more.")
        self.image_noise, self.speech_db = image_noise, speech_db
        self.version = f"{DISTRIBUTION}-{VERSION}/1/image_noise={image_noise},speech_db={speech_db}"

    def load(self, part: Part) -> Split:
        draw = generator("av-digits", part)
        kept, pixels, digits = images(part)
        rows = torch.arange(len(kept)).repeat(PAIRS)
        target = digits[rows]
        noisy = pixels[rows] + self.image_noise * torch.randn(len(rows), 1, 8, 8, generator=draw)
        clips, said = clean_speech(part)
        return Split(
            columns={
                "image": Column(noisy.round(decimals=2)),
                "speech": Column(
                    in_noise(clips, self.speech_db, draw),
                    paired(target, said, draw),
                ),
            },
            target=target,
            source=kept[rows],
        )


def images(part: Part) -> tuple[Tensor, Tensor, Tensor]:
    """Of a part: numbers (images,), pixels (images, 1, 8, 8) from 0 to 16, digits (images,)."""
    table = torch.from_numpy(_table())
    kept = torch.tensor([i for i in range(len(table)) if _part_of(i) == part])
    return kept, table[kept, :64].float().reshape(-1, 1, 8, 8), table[kept, 64].long()


@cache
def _table() -> Array:
    """(1797, 65) the pixels and the digit."""
    content = gzip.decompress(IMAGES.read("datasets/data/digits.csv.gz")).decode()
    return np.array([list(map(float, line.split(","))) for line in content.splitlines()])


def _part_of(image: int) -> Part:
    digest = hashlib.sha256(f"av-digits/{image}".encode()).digest()
    return PART_OF_SHARE[int.from_bytes(digest[:4], "big") % len(PART_OF_SHARE)]


def clean_speech(part: Part) -> tuple[Array, Tensor]:
    """(clips, samples) and (clips,) which digit is said, every voice and word in turn."""
    utterances, said = takes("av-digits", part, WORDS, TAKES)
    return spoken("av-digits", f"digits-{part}", utterances, SAMPLES, SPEECH[part]), said


def paired(target: Tensor, said: Tensor, draw: torch.Generator) -> Tensor:
    """(rows,) for each row a random clip of its class."""
    chosen = torch.empty(len(target), dtype=torch.long)
    for kind in target.unique():
        rows, clips = ((labels == kind).nonzero().squeeze(1) for labels in (target, said))
        chosen[rows] = clips[torch.randint(len(clips), (len(rows),), generator=draw)]
    return chosen


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [AVDigits]
