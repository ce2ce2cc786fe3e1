"""``vqa-v2``: open questions about COCO photographs (Goyal et al., CVPR 2017; visualqa.org).

``root`` holds the files as they are published. Test answers were never published, so validation
2014 is the test part, as in most papers without a server's score, and a tenth of the training
images is the validation part. Classes are the answers of more than 8 training questions, as in
Teney et al. (CVPR 2018); a test question with another answer counts as wrong.

Differs from the official score: the most frequent answer counts, not the consensus of ten people.
"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.contracts import Dataset
from mmbench.datasets._published import PublishedTable, as_published, validation_sources
from mmbench.datasets._whereabouts import Expected
from mmbench.hookspecs import hookimpl

if TYPE_CHECKING:
    import pandas as pd

LEAST = 9
"""Training questions that an answer needs, to be a class."""
OTHER = "<other>"
VALIDATION, SEED = 0.1, 2017
YEARS = {"train": "train2014", "test": "val2014"}


class VQAv2(PublishedTable):
    """Rows share images; the answer's type is a slice of its own in the file, not used here."""

    name = "vqa-v2"
    home = "https://visualqa.org/download.html"
    expects = tuple(
        Expected((name,), what)
        for year in YEARS.values()
        for name, what in (
            (f"v2_OpenEnded_mscoco_{year}_questions.json", f"questions of {year}"),
            (f"v2_mscoco_{year}_annotations.json", f"answers of {year}"),
            (year, f"the COCO images COCO_{year}_<12 digits>.jpg"),
        )
    )
    modalities = '{"image": {"image": ["image"]}, "question": {"text": ["question"]}}'
    target_kind = "classification"
    metric = "accuracy"
    least = LEAST

    @classmethod
    def rows(cls, root: Path) -> "pd.DataFrame":
        import pandas as pd

        table = pd.concat([_year(root, part, year) for part, year in YEARS.items()])
        table = table.reset_index(drop=True)
        train = table["part"] == "train"
        drawn = pd.Series(list(validation_sources(table["source"].tolist(), VALIDATION, SEED)))
        table.loc[train & drawn, "part"] = "val"
        answered = table["label"].notna()  # rows without an answer are counted and left out later
        counts = Counter(table.loc[answered & (table["part"] == "train"), "label"])
        classes = [answer for answer, n in counts.items() if n >= cls.least]
        known = table["label"].isin(classes)
        table.loc[answered & ~known, "label"] = OTHER
        kept = known | ~answered | (table["part"] != "train")
        return table[kept].reset_index(drop=True)


def _year(root: Path, part: str, year: str) -> "pd.DataFrame":
    import pandas as pd

    with as_published(VQAv2.name, path := root / f"v2_mscoco_{year}_annotations.json"):
        annotations = _entries(path, "annotations")
        answers = {a["question_id"]: a["multiple_choice_answer"] for a in annotations}
    with as_published(VQAv2.name, path := root / f"v2_OpenEnded_mscoco_{year}_questions.json"):
        questions = _entries(path, "questions")
        return pd.DataFrame(
            {
                "image": [f"{year}/COCO_{year}_{q['image_id']:012d}.jpg" for q in questions],
                "question": [q["question"] for q in questions],
                "label": [answers.get(q["question_id"]) for q in questions],
                "part": part,
                "source": [f"{year}/{q['image_id']}" for q in questions],
            }
        )


def _entries(path: Path, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[key]
    return found


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [VQAv2]
