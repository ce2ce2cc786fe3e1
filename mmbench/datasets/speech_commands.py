"""``speech-commands``: which of 25 words is said under noise. Synthetic speech, one modality.

The words are those of Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech
Recognition", 2018 (arXiv 1804.03209); the speech is not: eSpeak NG says them in 70 voices of six
accents. The voices of test do not occur in training.
"""

import torch

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._seeded import generator
from mmbench.datasets._speech import DISTRIBUTION, VERSION, in_noise, spoken, takes
from mmbench.hookspecs import hookimpl
from mmbench.parts import PARTS
from mmbench.types import Column, Part, Split, Task

WORDS = (
    *("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"),
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("bird", "cat", "dog", "happy", "house"),
)
SAMPLES = 12_800  # 0.8 s
TAKES = 2
SPEECH = {
    "train": "8d580f83d676905611cc4fa9346bc4b33f4651fc137a383f2ef6c1bcde68e1a3",
    "val": "b426ceb3674530de4015a82eb1ec79efb7c914e5d67fd16e846250213f164ffa",
    "test": "80e46745983f481f7b0d03c9093549619947e0adf9ffb29392162ddad766c3dc",
}
"""SHA-256 of the clean clips (clips, 12,800) int16 as bytes."""


class SpeechCommands(Dataset):
    """Every voice says every word twice; ``speech_db`` is the ratio of speech to white noise."""

    name = "speech-commands"
    task = Task(
        modalities={"speech": "audio"}, target="classification", outputs=WORDS, metric="accuracy"
    )
    card = Card(
        source="synthetic speech (eSpeak NG in the PyPI package espeakng-loader)",
        licence="the engine is GPL-3.0 and run in a process of its own",
        split="voices by hash, 60, 15 and 25 %",
        rows={"train": 2_100, "val": 500, "test": 900},
        content={
            "train": "ce263702ee4c5056740c942785c2d52e09cd4eae2645d8f73342ec246cad6468",
            "val": "26873d255f23703fc68f8272de22365a0a834a56190fb8c496dff46a36a17ec2",
            "test": "2f418f482c4e0056573319efbd4b21f7f0e727d34fd65f5bdb9662236775dab1",
        },
        known=(
            Known("majority", 0.04),
            Known("speech: MFCC statistics, logistic regression", 0.664),
        ),
    )

    def __init__(self, *, speech_db: float = 0.0) -> None:
        self.speech_db = speech_db
        self.version = f"{DISTRIBUTION}-{VERSION}/1/speech_db={speech_db}"

    def load(self, part: Part) -> Split:
        utterances, said = takes("speech-commands", part, WORDS, TAKES)
        clips = spoken("speech-commands", f"commands-{part}", utterances, SAMPLES, SPEECH[part])
        noisy = in_noise(clips, self.speech_db, generator("speech-commands", part))
        voice = [utterance.voice for utterance in utterances]
        numbers = {name: i for i, name in enumerate(dict.fromkeys(voice))}
        return Split(
            columns={"speech": Column(noisy)},
            target=said,
            source=torch.tensor([numbers[name] for name in voice]) + 100 * PARTS.index(part),
        )


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [SpeechCommands]
