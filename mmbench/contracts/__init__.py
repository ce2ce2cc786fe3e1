"""The kinds of component. A plugin subclasses one and returns it from a hook.

Positional arguments of ``__init__`` come from the framework; keyword-only arguments are the
component's hyperparameters (see ``mmbench.space``). A component holds no reference to the data set:
it sees features and modality names, never a target (but objectives and metrics) or a task's name.
"""

from mmbench.contracts.dataset import Card, Dataset, Known
from mmbench.contracts.encoder import Encoder, Fitted, Offered
from mmbench.contracts.fusion import Capabilities, Fused, Fusion
from mmbench.contracts.head import Decoder, Head
from mmbench.contracts.metric import Metric
from mmbench.contracts.objective import Course, Model, Objective, Outputs, with_penalty
from mmbench.contracts.parameters import count_parameters, trainable

__all__ = [
    "Capabilities",
    "Card",
    "Course",
    "Dataset",
    "Decoder",
    "Encoder",
    "Fitted",
    "Fused",
    "Fusion",
    "Head",
    "Known",
    "Metric",
    "Model",
    "Objective",
    "Offered",
    "Outputs",
    "count_parameters",
    "trainable",
    "with_penalty",
]
