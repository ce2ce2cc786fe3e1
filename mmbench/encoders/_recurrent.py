"""Reading the states of a recurrent network that runs forward over padded sequences.

Padding comes after the real steps, so it cannot change a real step's state.
"""

import torch
from torch import Tensor

from mmbench.types import Encoded


def encoded_states(states: Tensor, mask: Tensor) -> Encoded:
    """Tokens are the states (batch, time, width); the pooled vector is the last real one."""
    steps = torch.arange(mask.shape[1], device=mask.device)
    last = (mask * steps).amax(1)  # (batch,)
    pooled = states[torch.arange(states.shape[0], device=mask.device), last]
    return Encoded(states, mask, pooled * mask.any(1, keepdim=True))
