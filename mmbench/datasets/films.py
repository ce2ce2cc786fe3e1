"""``films``: how critics liked a film, from who made it and from its facts.

13,652 films with at least ten reviews, from the file ``movies.db`` of the PyPI package
``bokeh-sampledata`` (OMDb and Rotten Tomatoes, CC0). The text names the film, its people and its
producers; the table holds year, month, runtime, how much was reviewed and earned, and which genres,
languages, countries and ratings apply. What states the answer in other words stays out: counts of
fresh and rotten reviews, the mean rating, Metacritic.

The target is the Tomatometer, the percentage of favourable reviews, as (percentage - 60) / 30.
"""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from typing import Any

import numpy as np
import torch

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._package import Package
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

PACKAGE = Package(
    task="films",
    distribution="bokeh-sampledata",
    version="2026.1",
    module="bokeh_sampledata",
    sha256={"_data/movies.db": "1d9c6a02e488d0354b2309e16130c58820a91ac2ce417e814c5964f9579a65ac"},
)
CENTRE, SCALE = 60.0, 30.0  # per cent
FEWEST_REVIEWS = 10
PART_OF_SHARE: tuple[Part, ...] = ("train",) * 15 + ("val",) * 2 + ("test",) * 3
LISTED = {"Genre": 21, "Language": 20, "Country": 20, "Rating": 8}
"""The most frequent values of each column that become a number of their own, 0 or 1."""
QUERY = """
    SELECT imdbID, Title, Director, Writer, "Cast", Production,
           Year, Released, Runtime, Oscars, Reviews, BoxOffice,
           Genre, Language, Country, omdb.Rating, Meter
    FROM omdb JOIN tomatoes USING (ID)
    WHERE Reviews >= ? AND Meter IS NOT NULL ORDER BY imdbID, ID
"""

Film = dict[str, Any]


class Films(Dataset):
    """Regression from a text and a row of numbers; an empty cell is NaN."""

    name = "films"
    version = f"{PACKAGE.distribution}-{PACKAGE.version}/1"
    task = Task(
        modalities={"text": "text", "table": "tabular"},
        target="regression",
        outputs=("tomatometer",),
        metric="r2",
    )
    card = Card(
        source="OMDb and Rotten Tomatoes: movies.db of the PyPI package bokeh-sampledata 2026.1",
        licence="CC0",
        split="by the hash of a film's number at IMDb: 75, 10 and 15 %",
        rows={"train": 10_237, "val": 1_369, "test": 2_046},
        content={
            "train": "6c2f7cbe1fa214f36fb52ecd883877e53a02350618db13d888bfe25b6f917bbc",
            "val": "60b3d9a445b266086faf28d3fa2a34a73947d8f736cf29ffb4ccff5ae6f4a67b",
            "test": "bee325adf1cd584f0c8f042675549e497ea0ffe6fd097c31746ce79e59f4375b",
        },
        known=(
            Known("text: TF-IDF, ridge", 0.27),
            Known("table: boosted trees", 0.45),
            Known("late: their mean", 0.428),
            Known("stacked: ridge on held-out predictions", 0.471),
        ),
        note="target: (Tomatometer - 60) / 30; Fresh, Rotten, Rating and Metacritic would leak",
    )

    def load(self, part: Part) -> Split:
        chosen = films(part)
        listed = frequent(films("train"))
        meters = torch.tensor([float(film["Meter"]) for film in chosen])
        return Split(
            columns={
                "text": Column(tuple(map(described, chosen))),
                "table": Column(torch.from_numpy(numbers(chosen, listed))),
            },
            target=(meters - CENTRE) / SCALE,
            slices={"decade": tuple(f"{film['Year'] // 10 * 10}s" for film in chosen)},
            source=torch.tensor([int(film["imdbID"].removeprefix("tt")) for film in chosen]),
        )


@cache
def films(part: Part) -> tuple[Film, ...]:
    """The films of a part with enough reviews, by their numbers at IMDb; lists are split up."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(PACKAGE.read("_data/movies.db"))
        database.row_factory = sqlite3.Row
        rows = map(dict, database.execute(QUERY, [FEWEST_REVIEWS]))
        chosen = [film for film in rows if part_of(film["imdbID"]) == part]
    for film in chosen:
        film |= {column: frozenset(_split(film[column])) for column in LISTED}
    return tuple(chosen)


def described(film: Film) -> str:
    """Title, people and producers as one text."""
    parts = [film[key] for key in ("Title", "Director", "Writer", "Cast", "Production")]
    return ". ".join(part for part in parts if part)


def numbers(chosen: Sequence[Film], listed: Sequence[tuple[str, str]]) -> Any:
    """(films, columns) float32: what is counted or measured, then 0 or 1 for what is listed."""
    measured = [
        [
            film["Year"],
            int(film["Released"][5:7]),
            film["Runtime"],
            film["Oscars"],
            round(float(np.log1p(film["Reviews"])), 4),
            None if film["BoxOffice"] is None else round(float(np.log1p(film["BoxOffice"])), 4),
        ]
        for film in chosen
    ]
    applies = [[value in film[column] for column, value in listed] for film in chosen]
    return np.hstack([np.array(measured, np.float32), np.array(applies, np.float32)])


def frequent(train: Sequence[Film]) -> list[tuple[str, str]]:
    """(column, value) of the values most frequent in training films; equal ones by the alphabet."""
    found = []
    for column, most in LISTED.items():
        counts = Counter(value for film in train for value in film[column])
        ordered = sorted(counts, key=lambda value: (-counts[value], value))
        found += [(column, value) for value in ordered[:most]]
    return found


def _split(text: str | None) -> list[str]:
    return [value for value in (text or "").split(", ") if value]


def part_of(imdb_id: str) -> Part:
    """By the hash of a film's number at IMDb."""
    digest = hashlib.sha256(imdb_id.encode()).digest()
    return PART_OF_SHARE[int.from_bytes(digest[:4], "big") % len(PART_OF_SHARE)]


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [Films]
