"""What each modality brings to a trained model: Shapley values, EMAP, gradients, weights.

Everything is asked of features: modalities are encoded once, then left out or mixed.
"""

from mmbench.evaluation.contribution.clusters import representation
from mmbench.evaluation.contribution.report import contribution

__all__ = ["contribution", "representation"]
