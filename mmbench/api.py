"""Every name a plugin author imports. Nothing inside mmbench imports from here."""

from mmbench.cache import cache_root
from mmbench.contracts import (
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
    Offered,
    Outputs,
    with_penalty,
)
from mmbench.encoders._length import to_length
from mmbench.encoders.frames import over_frames
from mmbench.encoders.timm_models import TimmModel
from mmbench.encoders.transformers_image import TransformersImage
from mmbench.encoders.transformers_text import TransformersText
from mmbench.errors import DataUnavailable, Incompatible, InvalidParameter, MMBenchError
from mmbench.hookspecs import hookimpl
from mmbench.installed.admission import API_VERSION
from mmbench.losses import supervised_loss
from mmbench.space import Choice, Range, When
from mmbench.spec import Component, TrialSpec
from mmbench.types import (
    ALL_TARGETS,
    FUSED_TARGETS,
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
    "FUSED_TARGETS",
    "MISSING",
    "Capabilities",
    "Card",
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
    "Incompatible",
    "InvalidParameter",
    "Kind",
    "Known",
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
    "TimmModel",
    "TransformersImage",
    "TransformersText",
    "TrialSpec",
    "Values",
    "When",
    "cache_root",
    "hookimpl",
    "over_frames",
    "supervised_loss",
    "to_length",
    "with_penalty",
]
