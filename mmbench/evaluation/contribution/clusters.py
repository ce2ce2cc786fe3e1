"""Do fused vectors of one class lie together? Clusters found without labels, against the classes.

Normalised mutual information (Strehl & Ghosh, JMLR 2002), the adjusted Rand index (Hubert & Arabie,
J. Classification 1985) and the silhouette (Rousseeuw, 1987), by scikit-learn.

Differs from the paper: mutual information is over the arithmetic mean of both entropies, as in the
V-measure (Rosenberg & Hirschberg, EMNLP-CoNLL 2007), not over their geometric mean.
"""

import warnings

import torch
from torch import Tensor

from mmbench.model import FusionModel
from mmbench.types import Split, Task

SEED = 0
RESTARTS = 10


def representation(model: FusionModel, split: Split, task: Task) -> dict[str, float] | None:
    """How the fused vectors of prepared rows cluster; None unless the task has classes."""
    if task.target != "classification":
        return None
    model.eval()
    with torch.no_grad():
        return clustering(model(split).fused, split.target)


def clustering(fused: Tensor, target: Tensor) -> dict[str, float] | None:
    """``nmi`` and ``ari`` of as many k-means clusters as there are classes, and ``silhouette``.

    ``fused`` (rows, dim), ``target`` (rows,) classes. The silhouette is that of the classes
    themselves: how much nearer a vector is to its own class than to the nearest other one. None
    for less than two classes, or no row more than classes.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import (
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_score,
    )

    vectors, classes = fused.double().cpu().numpy(), target.cpu().numpy()
    distinct = len(set(classes.tolist()))
    if not 2 <= distinct < len(classes):
        return None
    with warnings.catch_warnings():  # fewer distinct vectors than classes: that is a finding
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(distinct, n_init=RESTARTS, random_state=SEED).fit_predict(vectors)
    return {
        "nmi": float(normalized_mutual_info_score(classes, clusters, average_method="arithmetic")),
        "ari": float(adjusted_rand_score(classes, clusters)),
        "silhouette": float(silhouette_score(vectors, classes)),
    }
