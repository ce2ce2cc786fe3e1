"""Image models of the timm library (Wightman, 2019), with random or pretrained weights.

timm takes seconds to import, so it is imported when one of its models is built.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted, Offered
from mmbench.encoders._hub import hub_file
from mmbench.encoders._image import ImageEncoder, grid_tokens
from mmbench.encoders._length import to_length
from mmbench.encoders._partial import PartlyTrained, choose_trained
from mmbench.encoders._training_column import Standardise
from mmbench.errors import DataUnavailable, InvalidParameter, did_you_mean
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Encoded

HUB = "hub"


class TimmModel(PartlyTrained, ImageEncoder):
    """Any timm model: tokens are the cells of its last grid, pooled is what its classifier reads.

    ``weights``: empty for random ones, the path of a ``.safetensors`` or ``.pth`` file, or ``hub``.
    ``frozen``, or only the ``last_blocks`` train (0: all do); the blocks are those that timm sets
    layer-wise learning rates for. ``size``: sides are resized to that many pixels; 0 leaves images
    as they are, except for models that were built for one size. Images are uint8, or floating point
    from 0 to 1. Pretrained weights get the normalisation they were trained with, random ones that
    of the training images. Features of pretrained weights are cut to one length.
    """

    name = "timm"
    batched = False  # where it trains: batch normalisation keeps a state
    offered: ClassVar[Offered] = "named"

    def __init__(
        self,
        fitted: Fitted,
        *,
        model: str = "resnet18",
        weights: str = "",
        frozen: bool = False,
        last_blocks: int = 0,
        size: int = 0,
    ) -> None:
        from timm.data.config import resolve_model_data_config

        super().__init__(fitted)
        channels = fitted["shape"][0]
        self.model = build(model, weights, channels)
        self.pretrained, self.frozen = bool(weights), frozen
        config: dict[str, Any] = resolve_model_data_config(  # type: ignore[no-untyped-call]
            self.model
        )
        published = {"mean": _per_channel(config["mean"], channels)}
        published["std"] = _per_channel(config["std"], channels)
        self.standardise = Standardise(published if weights else fitted, trailing=2)
        own_size = config["input_size"][-1] if self.model.pretrained_cfg["fixed_input_size"] else 0
        self.size = size or own_size
        self.out_dim: int = self.model.head_hidden_size
        choose_trained(
            self.name, self.model, blocks(self.model), frozen=frozen, last_blocks=last_blocks
        )
        self.train()

    def forward(self, inputs: Tensor) -> Encoded:
        if self.pretrained and inputs.dtype == torch.uint8:
            inputs = inputs / 255
        images = self._resized(self.standardise(inputs))
        final, grids = self.model.forward_intermediates(
            images, indices=1, norm=True, output_fmt="NCHW"
        )
        pooled = self.model.forward_head(final, pre_logits=True)
        tokens = self._tokens(grids[-1], final)  # (images, cells, out_dim)
        encoded = Encoded(tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool), pooled)
        return to_length(encoded) if self.pretrained else encoded

    def _resized(self, images: Tensor) -> Tensor:
        side = (self.size, self.size)
        if not self.size or images.shape[-2:] == side:
            return images
        return F.interpolate(images, side, mode="bicubic", antialias=True)

    def _tokens(self, grid: Tensor, final: Tensor) -> Tensor:
        """Cells of the last grid, as wide as the pooled vector.

        Most models pool that grid itself, some a wider one after it, and some widen what they
        pooled: there each cell goes through the model's own head as an image of one pixel.
        """
        for candidate in (grid, final):
            if candidate.ndim == 4 and candidate.shape[1] == self.out_dim:
                return grid_tokens(candidate)
        cells = grid_tokens(final)  # (images, cells, channels)
        pixels = cells.flatten(0, 1)[..., None, None]
        widened: Tensor = self.model.forward_head(pixels, pre_logits=True)
        return widened.reshape(*cells.shape[:2], -1)


class ResNet(TimmModel):
    """Small residual networks (He et al., CVPR 2016; ``10t``: timm's tiered ten-layer variant)."""

    name = "resnet"
    offered = "gpu"

    def __init__(
        self,
        fitted: Fitted,
        *,
        model: Annotated[str, Choice("resnet10t", "resnet18")] = "resnet18",
        weights: str = "",
        frozen: bool = False,
        last_blocks: int = 0,
        size: int = 0,
    ) -> None:
        super().__init__(
            fitted,
            model=model,
            weights=weights,
            frozen=frozen,
            last_blocks=last_blocks,
            size=size,
        )


def build(name: str, weights: str, channels: int) -> Any:
    """The timm model without its classifier, for images with this many channels."""
    import timm

    if not timm.is_model(name):
        near = did_you_mean(name, timm.list_models())
        raise InvalidParameter(f"timm has no model {name!r}.{near} See timm.list_models().")
    options: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    if not weights:
        return timm.create_model(name, **options)
    file = weight_file(name, weights)
    with torch.random.fork_rng(devices=[]):
        random = timm.create_model(name, **options)
    try:
        overlay = {"state_dict": timm.models.load_state_dict(str(file))}
        loaded: Any = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
    except Exception as error:  # whatever a damaged or foreign file makes the readers raise
        raise DataUnavailable(f"{file} does not hold weights of {name}: {error}") from error
    _check_all_loaded(random, loaded, f"{file} does not hold all weights of {name}")
    config: Any = loaded.pretrained_cfg
    config.pop("state_dict", None)  # a second copy of all weights
    return loaded


def blocks(model: Any) -> dict[str, int]:
    """The block of each parameter, as timm groups them for layer-wise learning rates."""
    from timm.models import group_parameters

    matcher = model.group_matcher(coarse=False)
    return dict(group_parameters(model, matcher, reverse=True))


def _check_all_loaded(random: nn.Module, loaded: nn.Module, problem: str) -> None:
    """What timm does not find in a file it skips: such weights are still as they were drawn."""
    drawn = dict(random.named_parameters())
    left = [
        name
        for name, weight in loaded.named_parameters()
        if weight.ndim > 1 and torch.equal(weight, drawn[name])
    ]
    if left:
        raise DataUnavailable(f"{problem}: {len(left)} are missing, such as {left[0]!r}.")


def weight_file(name: str, weights: str) -> Path:
    """The local file of ``weights``; for ``hub``, from its cache or else downloaded."""
    if weights == HUB:
        return _from_hub(name)
    file = Path(weights).expanduser()
    if not file.is_file():
        raise DataUnavailable(
            f"There is no weights file {file}. Give the path of a .safetensors or .pth file, "
            f"{HUB!r} to download {name}, or nothing for random weights."
        )
    return file


def _from_hub(name: str) -> Path:
    import timm

    config = timm.get_pretrained_cfg(name)
    repository = config.hf_hub_id if config else None
    if not repository:
        raise DataUnavailable(f"timm publishes no weights of {name!r} on the hub.")
    return hub_file(repository, "model.safetensors", f"{name} ({repository})")


def _per_channel(published: tuple[float, ...], channels: int) -> list[float]:
    """As published, or their mean for images with another number of channels."""
    if len(published) == channels:
        return list(published)
    return [sum(published) / len(published)] * channels


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TimmModel, ResNet]
