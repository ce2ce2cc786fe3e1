"""Magnitude pruning: the smallest weights of the whole model become zero.

Han, Pool, Tran & Dally, "Learning both Weights and Connections for Efficient Neural Networks",
NeurIPS 2015; one threshold for all layers, without training afterwards.
"""

from torch import nn
from torch.nn.utils import prune

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Not embeddings, norms and recurrent layers: little is gained there, or much is lost."""


def prune_smallest(model: nn.Module, share: float) -> None:
    """Set the ``share`` of weights that is nearest to zero to zero, for good."""
    weights = [(layer, "weight") for layer in model.modules() if isinstance(layer, LAYERS)]
    if not weights:
        return
    prune.global_unstructured(weights, prune.L1Unstructured, amount=share)
    for layer, name in weights:
        prune.remove(layer, name)
