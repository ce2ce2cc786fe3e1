"""Videos by their frames: an image encoder reads each, and their mean is taken.

Karpathy et al., "Large-scale Video Classification with Convolutional Neural Networks", CVPR 2014,
whose late fusion reads two frames; the mean over all of them is as in Wang et al., "Temporal
Segment Networks", ECCV 2016. What moves from frame to frame is left to a fusion of sequences.
"""

from functools import wraps
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._training_column import number_sample
from mmbench.encoders.cnn import CNN
from mmbench.encoders.timm_models import TimmModel
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Encoded, masked_mean

VIDEOS = 64
"""Videos whose frames an image encoder is fitted to, at most."""


def over_frames(image: type[Encoder]) -> type[Encoder]:
    """The encoder of videos, by the name ``<name>-frames``, that reads frames as ``image`` does.

    It has the hyperparameters of ``image``. A frame's token is the mean of its own tokens, pooled
    is the mean of its frames' pooled vectors.
    """

    class Frames(Encoder):
        __doc__ = f"Each frame through {image.name}; one token per frame, pooled is their mean."

        name = f"{image.name}-frames"
        accepts = "video"
        emits_sequences = True
        offered = image.offered
        batched = image.batched

        @wraps(image.__init__)  # type: ignore[misc]  # its hyperparameters are read from there
        def __init__(self, fitted: Fitted, **params: Any) -> None:
            super().__init__(fitted)
            self.image = image(fitted, **params)
            self.frozen, self.out_dim = self.image.frozen, self.image.out_dim

        @classmethod
        def fit(cls, train: Column) -> Fitted:
            """What the image encoder learns of the frames."""
            videos = number_sample(train, VIDEOS)
            if videos.ndim != 5:
                raise TypeError(
                    f"{cls.name} takes videos (videos, frames, channels, height, width); "
                    f"got {tuple(videos.shape)}."
                )
            return image.fit(Column(videos.flatten(0, 1)))

        def forward(self, inputs: Tensor) -> Encoded:
            frames = self.image(inputs.flatten(0, 1))  # (videos × frames, cells, dim)
            tokens, pooled = (
                tensor.unflatten(0, inputs.shape[:2])
                for tensor in (masked_mean(frames.tokens, frames.mask), frames.pooled)
            )  # each (videos, frames, dim)
            mask = torch.ones_like(tokens[..., 0], dtype=torch.bool)
            return Encoded(tokens, mask, pooled.mean(1))

    Frames.__qualname__ = Frames.__name__ = f"{image.__name__}Frames"
    made: type[Encoder] = Frames
    return made


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [over_frames(CNN), over_frames(TimmModel)]
