"""``hateful-memes``: whether a meme is hateful, from picture and text (Kiela et al., NeurIPS 2020).

``root`` holds the JSON lines and the folder ``img`` as they are published. The labelled test file
is ``test_seen.jsonl`` (phase 1); the first release has no labels in ``test.jsonl``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.contracts import Dataset
from mmbench.datasets._published import PublishedTable, as_published
from mmbench.datasets._whereabouts import Expected
from mmbench.errors import DataUnavailable
from mmbench.hookspecs import hookimpl

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "val", "test")


class HatefulMemes(PublishedTable):
    """Benign confounders make either modality alone nearly useless."""

    name = "hateful-memes"
    home = "https://hatefulmemeschallenge.com"
    expects = (
        Expected(("train.jsonl",), "8,500 training memes"),
        Expected(("dev_seen.jsonl", "dev.jsonl"), "the validation memes"),
        Expected(("test_seen.jsonl", "test_unseen.jsonl", "test.jsonl"), "the labelled test memes"),
        Expected(("img",), "the pictures"),
    )
    modalities = '{"image": {"image": ["img"]}, "text": {"text": ["text"]}}'
    target_kind = "classification"
    metric = "auroc"

    @classmethod
    def rows(cls, root: Path) -> "pd.DataFrame":
        import pandas as pd

        from mmbench.tables.read import read_table

        found = []
        for number, part in enumerate(PARTS):
            path = cls.path(root, number)
            table, _ = read_table(path)
            if "label" not in table or table["label"].isna().all():
                raise DataUnavailable(
                    f"{path} has no labels: it is the first release's. Use test_seen.jsonl."
                )
            with as_published(cls.name, path):
                columns = {name: table[name] for name in ("img", "text", "label")}
                found.append(pd.DataFrame({**columns, "part": part, "source": table["id"]}))
        return pd.concat(found, ignore_index=True)


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [HatefulMemes]
