"""``mm-imdb``: genres of films from poster and plot (Arevalo et al., ICLR workshop 2017).

``root`` holds ``split.json`` and the folder ``dataset`` with one JSON and one JPEG per film, as
they are published. Of several plots the longest is read, and a film without any misses that
modality; the 23 most frequent genres of the training part are the labels.
"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.contracts import Dataset
from mmbench.datasets._published import PublishedTable, as_published
from mmbench.datasets._whereabouts import Expected
from mmbench.errors import DataUnavailable
from mmbench.hookspecs import hookimpl

if TYPE_CHECKING:
    import pandas as pd

GENRES = 23
PARTS = {"train": "train", "dev": "val", "test": "test"}


class MMIMDb(PublishedTable):
    """A film may have many genres, or none of the frequent ones."""

    name = "mm-imdb"
    home = "https://github.com/johnarevalo/gmu-mmimdb"
    expects = (
        Expected(("split.json",), "which film is in train, dev or test"),
        Expected(("dataset",), "one .json and one .jpeg per film"),
    )
    modalities = '{"poster": {"image": ["poster"]}, "plot": {"text": ["plot"]}}'
    target_kind = "multilabel"
    metric = "micro-f1"

    @classmethod
    def rows(cls, root: Path) -> "pd.DataFrame":
        import pandas as pd

        with as_published(cls.name, path := root / "split.json"):
            split = json.loads(path.read_text(encoding="utf-8"))
            names = [(name, part) for key, part in PARTS.items() for name in split[key]]
        lacking = [name for name, _ in names if not (root / "dataset" / f"{name}.json").exists()]
        if lacking:
            raise DataUnavailable(
                f"{root / 'dataset'} is not whole: {len(lacking):,} of {len(names):,} films of "
                f"split.json are missing, such as {lacking[0]}.json. They come from {cls.home}."
            )
        films = [_film(root, name, part) for name, part in names]
        counts = Counter(g for f in films if f["part"] == "train" for g in f["genres"])
        frequent = {genre for genre, _ in counts.most_common(GENRES)}
        for film in films:
            film["label"] = "|".join(g for g in film.pop("genres") if g in frequent)
        return pd.DataFrame(films)


def _film(root: Path, name: str, part: str) -> dict[str, Any]:
    path = root / "dataset" / f"{name}.json"
    with as_published(MMIMDb.name, path):
        film = json.loads(path.read_text(encoding="utf-8"))
        plot = max(_texts(film, "plot"), key=len, default=None)
        return {
            "poster": f"dataset/{name}.jpeg", "plot": plot,
            "genres": _texts(film, "genres"), "part": part, "source": name,
        }  # fmt: skip


def _texts(film: dict[str, Any], key: str) -> list[str]:
    found = film[key]
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise TypeError(f"{key} is {found!r}, which is no list of texts")
    return found


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [MMIMDb]
