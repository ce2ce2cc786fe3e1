"""Features with some modalities missing, as a model sees it when a column says ``MISSING``."""

from collections.abc import Collection

import torch

from mmbench.types import Encoded, Features


def only(features: Features, present: Collection[str]) -> Features:
    """``features`` with every modality that is not ``present`` missing in all rows."""
    return {m: f if m in present else _missing(f) for m, f in features.items()}


def _missing(feature: Encoded) -> Encoded:
    """Masked throughout, and zero besides: nothing can be read by a fusion that ignores masks."""
    return Encoded(
        torch.zeros_like(feature.tokens),
        torch.zeros_like(feature.mask),
        torch.zeros_like(feature.pooled),
    )
