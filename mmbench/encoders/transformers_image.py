"""Image models of the transformers library (Wolf et al., EMNLP 2020 demos): ViT and its kin."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted, Offered
from mmbench.encoders._image import ImageEncoder, from_bytes, grid_tokens
from mmbench.encoders._length import to_length
from mmbench.encoders._partial import PartlyTrained
from mmbench.encoders._training_column import Standardise
from mmbench.encoders._transformers import load, settings
from mmbench.errors import Incompatible
from mmbench.hookspecs import hookimpl
from mmbench.types import Encoded

PREPROCESSOR = "preprocessor_config.json"
MEAN = STD = [0.5, 0.5, 0.5]


class TransformersImage(PartlyTrained, ImageEncoder):
    """Any model that reads pixels: tokens are its last states, pooled is its own or their mean.

    ``model``: the folder that ``save_pretrained`` wrote, or a name on the hub. ``frozen``, or only
    the ``last_blocks`` train (0: all do). Images are RGB, uint8 or floating point from 0 to 1; they
    are resized to the model's size and normalised as its ``preprocessor_config.json`` says. Its
    features are cut to one length.
    """

    name = "transformers-image"
    offered: ClassVar[Offered] = "named"
    batched = False  # the library branches on values

    def __init__(
        self,
        fitted: Fitted,
        *,
        model: str = "google/vit-base-patch16-224",
        frozen: bool = True,
        last_blocks: int = 0,
    ) -> None:
        super().__init__(fitted)
        self.model, folder = load(
            self.name, model, "pixel_values", frozen=frozen, last_blocks=last_blocks, pooler=True
        )
        config = self.model.config
        channels = getattr(config, "num_channels", 3)
        if fitted["shape"][0] != channels:
            raise Incompatible(
                f"{self.name}: {model} reads images of {channels} channels; these have "
                f"{fitted['shape'][0]}."
            )
        published = settings(folder, PREPROCESSOR)
        mean, std = published.get("image_mean", MEAN), published.get("image_std", STD)
        self.standardise = Standardise({"mean": mean, "std": std}, trailing=2)
        self.size = getattr(config, "image_size", None)
        self.frozen = frozen
        self.out_dim: int = getattr(config, "hidden_size", None) or config.hidden_sizes[-1]
        self.train()

    def forward(self, inputs: Tensor) -> Encoded:
        images = self.standardise(from_bytes(inputs))
        if self.size is not None and images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bicubic", antialias=True)
        output = self.model(pixel_values=images)
        states = output.last_hidden_state
        tokens = grid_tokens(states) if states.ndim == 4 else states
        pooled = getattr(output, "pooler_output", None)
        mask = torch.ones_like(tokens[..., 0], dtype=torch.bool)
        pooled = tokens.mean(1) if pooled is None else pooled.flatten(1)
        return to_length(Encoded(tokens, mask, pooled))


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TransformersImage]
