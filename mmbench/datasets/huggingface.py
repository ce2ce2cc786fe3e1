"""``huggingface``: a data set of the library ``datasets``, by a local folder or by name.

``path`` is a folder that ``save_to_disk`` wrote, a folder of Parquet files and the like, or a name
on the hub (with a connection, or from the library's own cache). Nothing is loaded whole: pictures
and sounds stay in the Arrow files, memory-mapped by the library, and are decoded when asked for.
Without a validation or test split, or the targets of one, a tenth of the training rows each are
drawn for it. Numbers are read as those of a table of your own are. For retrieval, ``columns`` names
the pair.
"""

import numpy as np
import torch
from torch import Tensor

from mmbench.contracts import Dataset
from mmbench.errors import DataUnavailable
from mmbench.hookspecs import hookimpl
from mmbench.types import MISSING, Column, Part, Split, Task


class HuggingFace(Dataset):
    """Pictures, sounds, texts, numbers and categories of a data set, by its own splits."""

    name = "huggingface"
    places = frozenset({"path"})

    def __init__(
        self,
        *,
        path: str = "",
        config: str = "",
        columns: str = "",
        target: str = "label",
        target_kind: str = "",
        image_size: int = 64,
        audio_seconds: float = 1.0,
        seed: int = 0,
    ) -> None:
        if not path:
            raise DataUnavailable(
                "The task 'huggingface' needs a folder or a name: --set task.path=FOLDER "
                "--set task.target=COLUMN. It takes pip install 'mmbench[huggingface]'."
            )
        from mmbench.datasets._library import read
        from mmbench.tables.preparing import RULES
        from mmbench.tables.targets import METRIC

        self.image_size, self.samples = image_size, round(audio_seconds * 16_000)
        self.read = read(path, config, columns, target, target_kind, seed)
        settings = f"size={image_size},seconds={audio_seconds},seed={seed}"
        self.version = f"{self.read.digest}/{settings}/rules-{RULES}"
        asked = self.read.target
        self.task = Task(
            self.read.kinds, asked.kind, asked.outputs, METRIC[asked.kind], length=asked.length
        )

    def load(self, part: Part) -> Split:
        read = self.read
        which = torch.from_numpy(np.flatnonzero(read.parts == part))
        columns = {
            modality: read.columns[modality].rows(which)
            if modality in read.columns
            else self._files(modality, which)
            for modality in read.kinds
        }
        source = torch.from_numpy(read.groups)[which]
        return Split(columns, read.target.values[which], source=source)

    def _files(self, modality: str, which: Tensor) -> Column:
        """Those of some rows; a row without one misses the modality."""
        from mmbench.datasets._arrow import ArrowFiles

        column, kind, there = self.read.media[modality]
        has = torch.from_numpy(there)[which]
        size = self.image_size if kind == "image" else self.samples
        files = ArrowFiles(self.read.rows, column, kind, size, which[has])
        return Column(files, torch.where(has, has.cumsum(0) - 1, MISSING))


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [HuggingFace]
