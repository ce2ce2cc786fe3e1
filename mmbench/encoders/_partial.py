"""Which part of a pretrained model trains: nothing, its last blocks, or all of it."""

from collections.abc import Mapping
from typing import Self

from torch import nn

from mmbench.errors import InvalidParameter


def choose_trained(
    owner: str, model: nn.Module, block_of: Mapping[str, int], *, frozen: bool, last_blocks: int
) -> None:
    """Freeze ``model``, or all of it but the last blocks (0: train everything).

    ``block_of`` says by the name of each parameter which block it belongs to, counted from 0 at the
    input; what follows the last block counts with it.
    """
    blocks = sorted(set(block_of.values()))
    if last_blocks and (frozen or not 0 < last_blocks <= len(blocks)):
        problem = "frozen=true leaves nothing to train" if frozen else f"there are {len(blocks)}"
        raise InvalidParameter(
            f"{owner}.last_blocks = {last_blocks}: {problem}. Set frozen=false and last_blocks "
            f"from 1 to {len(blocks)}, or 0 to train all."
        )
    first = blocks[-last_blocks] if last_blocks else blocks[0]
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not frozen and block_of[name] >= first


def blocks_along(model: nn.Module, path: str) -> dict[str, int]:
    """The block of each parameter, where ``path`` is the list of them: as ``encoder.layers``.

    What stands before the first block counts with it, what stands after one counts with that.
    """
    found, current = {}, 0
    for name, _ in model.named_parameters():
        if path and name.startswith(path + "."):
            current = int(name.removeprefix(path + ".").partition(".")[0])
        found[name] = current
    return found


class PartlyTrained(nn.Module):
    """An encoder of which a part may be frozen: that stays as it is while the rest trains."""

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's signature
        """No dropout and fixed batch statistics in what is frozen."""
        super().train(mode)
        if mode:
            rest_what_is_frozen(self)
        return self


def rest_what_is_frozen(model: nn.Module) -> None:
    """Parts without a trained parameter go to evaluation mode: fixed statistics, no dropout."""
    for part in model.modules():
        parameters = list(part.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            part.eval()
