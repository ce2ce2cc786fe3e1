"""Every name a plugin author imports. Nothing inside mmbench imports from here."""

from mmbench.cache import cache_root
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
    Outputs,
    with_penalty,
)
from mmbench.encoders.timm_models import TimmModel
from mmbench.encoders.transformers_image import TransformersImage
from mmbench.encoders.transformers_text import TransformersText
from mmbench.errors import DataUnavailable, Incompatible, InvalidParameter, MMBenchError
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
    "Incompatible",
    "InvalidParameter",
    "Kind",
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
    "TimmModel",
    "TransformersImage",
    "TransformersText",
    "Values",
    "When",
    "cache_root",
    "hookimpl",
    "supervised_loss",
    "with_penalty",
]
