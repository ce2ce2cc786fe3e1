"""Whose features move the loss: the share of each modality in the gradient.

What paradigms that balance modalities look at (Peng et al., "Balanced Multimodal Learning via
On-the-fly Gradient Modulation", CVPR 2022), there for parameters; here for features, so that
encoders of different sizes compare.
"""

import torch
from torch import Tensor

from mmbench.contracts import Outputs
from mmbench.losses import supervised_loss
from mmbench.model import FusionModel
from mmbench.types import Encoded, Features, TargetKind


def gradient_share(
    model: FusionModel, features: Features, target: Tensor, kind: TargetKind
) -> dict[str, float]:
    """By modality: its share of ``Σ_m ‖∂loss / ∂features_m‖``, norms averaged over rows.

    Tokens and the pooled vector are inputs on their own: the norm is that of both together. All
    shares are zero where no gradient reaches any feature.
    """
    leaves = {m: _leaf(f) for m, f in features.items()}
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # RNNs in evaluation mode
        loss = _loss(model.respond(leaves), target, kind)
        norms = {m: _norms(loss, leaf) for m, leaf in leaves.items()}
    means = {m: float(norm.double().mean()) for m, norm in norms.items()}
    total = sum(means.values())
    return {m: mean / total if total else 0.0 for m, mean in means.items()}


def _leaf(feature: Encoded) -> Encoded:
    return Encoded(
        feature.tokens.detach().clone().requires_grad_(),
        feature.mask,
        feature.pooled.detach().clone().requires_grad_(),
    )


def _loss(outputs: Outputs, target: Tensor, kind: TargetKind) -> Tensor:
    """Summed: a row's loss depends on its own features alone, and so does their gradient."""
    return supervised_loss(kind, outputs.scores, target).sum()


def _norms(loss: Tensor, leaf: Encoded) -> Tensor:
    """(rows,) the norm of the gradient with respect to all features of a row."""
    if not loss.requires_grad:
        return loss.new_zeros(len(leaf))
    inputs = (leaf.tokens, leaf.pooled)
    found = torch.autograd.grad(
        loss, inputs, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    norms: Tensor = torch.cat([g.flatten(1) for g in found], dim=1).norm(dim=1)
    return norms
