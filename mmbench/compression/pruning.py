"""Magnitude pruning: the smallest weights of the whole model become zero.

Han, Pool, Tran & Dally, "Learning both Weights and Connections for Efficient Neural Networks",
NeurIPS 2015; one threshold for all layers, without training afterwards.
"""

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Not embeddings, norms and recurrent layers: little is gained there, or much is lost. Nor weights
that are computed from others, as under a weight norm: they are there for one step."""


@torch.no_grad()
def prune_smallest(model: nn.Module, share: float) -> None:
    """Set the ``share`` of weights that is nearest to zero to zero, for good.

    ``torch.nn.utils.prune`` does it for weights that lie in memory row by row only.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, LAYERS)]
    weights = [layer.weight for layer in layers if not is_parametrized(layer, "weight")]
    if not weights:
        return
    sizes = torch.cat([weight.abs().reshape(-1) for weight in weights])
    kept = torch.ones_like(sizes)
    kept[sizes.argsort()[: round(share * len(sizes))]] = 0.0
    for weight, mask in zip(weights, kept.split([w.numel() for w in weights]), strict=True):
        weight.mul_(mask.view(weight.shape))
