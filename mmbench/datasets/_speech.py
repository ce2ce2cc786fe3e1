"""Synthetic speech by eSpeak NG, for tasks with a spoken modality.

The engine and its voices lie in the PyPI package ``espeakng-loader``. It speaks in a fresh process,
in a fixed order; what was said is cached and checked against a pinned hash.
"""

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmbench.datasets._package import Package
from mmbench.datasets._seeded import generator
from mmbench.datasets._stored import Array, stored
from mmbench.errors import DataUnavailable
from mmbench.parts import PARTS
from mmbench.types import Part

DISTRIBUTION, VERSION, MODULE = "espeakng-loader", "0.2.4", "espeakng_loader"
LIBRARIES = {"linux": "libespeak-ng.so", "darwin": "libespeak-ng.dylib", "win32": "espeak-ng.dll"}
ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan")
VARIANTS = (
    *("Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo"),
    *("Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "Reed", "Storm", "Tweaky"),
    *("adam", "anika", "announcer", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb"),
    *("david", "ed", "edward", "f1", "f2", "f3", "f4", "f5", "grandma", "grandpa", "gustave"),
    *("ian", "iven", "john", "kaukovalta", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7"),
    *("m8", "marcelo", "max", "michel", "miguel", "norbert", "pablo", "paul", "pedro", "quincy"),
    *("rob", "robert", "sandro", "shelby", "steph", "travis", "victor", "zac"),
)
"""Voices of men, women and old people; robots and whispers are left out."""
RATES, PITCHES = (130, 200), (25, 75)
AT_ONCE = 64
"""Clips that are put into noise at once, in double precision."""
SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}


class Utterance(NamedTuple):
    """What to say, and how: words per minute, pitch from 0 to 99."""

    text: str
    voice: str
    rate: int
    pitch: int


def package(task: str) -> Package:
    return Package(task, DISTRIBUTION, VERSION, MODULE, {})


def voices(part: Part) -> list[str]:
    """The voices of a part, in the order of a hash; no two parts share a variant."""
    ordered = sorted(VARIANTS, key=lambda v: hashlib.sha256(f"voice/{v}".encode()).hexdigest())
    ends = np.cumsum([0.0, *SHARES.values()]) * len(ordered)
    place = PARTS.index(part)
    first, last = round(ends[place]), round(ends[place + 1])
    chosen = ordered[first:last]
    return [f"{ACCENTS[i % len(ACCENTS)]}+{variant}" for i, variant in enumerate(chosen)]


def takes(
    task: str, part: Part, texts: Sequence[str], count: int = 1, most: int | None = None
) -> tuple[list[Utterance], Tensor]:
    """Every voice of a part, or the first ``most``, says every text ``count`` times in turn.

    Rate and pitch are drawn. Also (utterances,) which text each is.
    """
    draw = generator(task, f"{part} speech")
    utterances = []
    chosen = voices(part)[:most]
    for voice in chosen:
        for text in texts:
            for _ in range(count):
                rate, pitch = (int(torch.randint(*e, (), generator=draw)) for e in (RATES, PITCHES))
                utterances.append(Utterance(text, voice, rate, pitch))
    said = torch.arange(len(texts)).repeat_interleave(count).repeat(len(chosen))
    return utterances, said


def in_noise(clips: Array, decibels: float, draw: torch.Generator) -> Tensor:
    """(clips, samples) under white noise, ``decibels`` below the power of each clip.

    The loudest sample of each is at full scale.
    """
    noise = torch.randn(clips.shape, generator=draw)
    blocks = zip(torch.from_numpy(clips).split(AT_ONCE), noise.split(AT_ONCE), strict=True)
    return torch.cat([_mixed(*block, decibels) for block in blocks])


def _mixed(clips: Tensor, noise: Tensor, decibels: float) -> Tensor:
    """The same samples on every machine: a sum of whole numbers is exact, whatever its order.

    And numpy's root is rounded as IEEE 754 says; torch's is MKL's, which differs by processor.
    """
    signal = clips.double()
    power = signal.square().sum(1, keepdim=True) / signal.shape[1]
    root = torch.from_numpy(np.sqrt((power * 10 ** (-decibels / 10)).numpy()))
    noisy = signal + noise.double() * root
    scaled = noisy * (32767 / noisy.abs().amax(1, keepdim=True).clamp(min=1))
    return scaled.round().to(torch.int16)


def spoken(
    task: str, name: str, utterances: Sequence[Utterance], samples: int, sha256: str
) -> Array:
    """(utterances, samples) int16 at 16 kHz: from the cache, else spoken and cached."""
    return stored(
        f"{DISTRIBUTION}-{VERSION}/{name}.npy",
        sha256,
        lambda: speak(task, utterances, samples),
        lambda: DataUnavailable(
            f"The speech of the task {task!r}, as the engine of {DISTRIBUTION} {VERSION} speaks it "
            f"on this machine, is not that of the task: its scores would not compare. The pinned "
            f"speech is that of Linux on x86-64."
        ),
    )


def speak(task: str, utterances: Sequence[Utterance], samples: int) -> Array:
    """The engine's samples, from a process of its own."""
    folder = package(task).folder()
    asked = {
        "library": str(folder / LIBRARIES.get(sys.platform, LIBRARIES["linux"])),
        "data": str(folder / "espeak-ng-data"),
        "samples": samples,
        "utterances": utterances,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mmbench.datasets._espeak"],
        input=json.dumps(asked).encode(),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[
            -1
        ]
        raise DataUnavailable(
            f"The task {task!r} needs speech, but the engine of {DISTRIBUTION} {VERSION} failed: "
            f"{last}. Reinstall it: pip install --force-reinstall {DISTRIBUTION}=={VERSION}"
        )
    clips: Array = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return clips
