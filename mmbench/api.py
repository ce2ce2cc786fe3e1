"""Every name a plugin author imports. Nothing inside mmbench imports from here."""

from mmbench.contracts import (
    ALL_TARGETS,
    Capabilities,
    Card,
    Course,
    Dataset,
    Encoder,
    Fitted,
    Fused,
    Fusion,
    Head,
    Known,
    Metric,
    Model,
    Objective,
    Outputs,
    with_penalty,
)
from mmbench.errors import DataUnavailable, InvalidParameter, MMBenchError
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.space import Choice, Range, When
from mmbench.types import (
    MISSING,
    Column,
    Encoded,
    Features,
    Kind,
    LazyValues,
    Part,
    Split,
    Task,
    Values,
)

API_VERSION = 1

__all__ = [
    "ALL_TARGETS",
    "API_VERSION",
    "MISSING",
    "Capabilities",
    "Card",
    "Choice",
    "Column",
    "Course",
    "DataUnavailable",
    "Dataset",
    "Encoded",
    "Encoder",
    "Features",
    "Fitted",
    "Fused",
    "Fusion",
    "Head",
    "InvalidParameter",
    "Kind",
    "Known",
    "LazyValues",
    "MMBenchError",
    "Metric",
    "Model",
    "Objective",
    "Outputs",
    "Part",
    "Range",
    "Split",
    "Task",
    "Values",
    "When",
    "hookimpl",
    "supervised_loss",
    "with_penalty",
]
