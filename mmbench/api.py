"""Every name a plugin author imports. Nothing inside mmbench imports from here."""

from mmbench.contracts import (
    ALL_TARGETS,
    Capabilities,
    Course,
    Dataset,
    Encoder,
    Fitted,
    Fused,
    Fusion,
    Head,
    Metric,
    Model,
    Objective,
    Offered,
    Outputs,
    with_penalty,
)
from mmbench.errors import DataUnavailable, InvalidParameter, MMBenchError
from mmbench.hookspecs import hookimpl
from mmbench.installed.admission import API_VERSION
from mmbench.losses import supervised_loss
from mmbench.space import Choice, Range, When
from mmbench.spec import Component, TrialSpec
from mmbench.types import (
    MISSING,
    Column,
    Encoded,
    Features,
    Kind,
    LazyValues,
    Part,
    Split,
    TargetKind,
    Task,
    Values,
)

__all__ = [
    "ALL_TARGETS",
    "API_VERSION",
    "MISSING",
    "Capabilities",
    "Choice",
    "Column",
    "Component",
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
    "LazyValues",
    "MMBenchError",
    "Metric",
    "Model",
    "Objective",
    "Offered",
    "Outputs",
    "Part",
    "Range",
    "Split",
    "TargetKind",
    "Task",
    "TrialSpec",
    "Values",
    "When",
    "hookimpl",
    "supervised_loss",
    "with_penalty",
]
