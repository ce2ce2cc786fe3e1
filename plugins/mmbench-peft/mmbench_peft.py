"""Low-rank adaptation, LoRA (Hu et al., ICLR 2022), of timm and transformers encoders.

Beside each linear layer or convolution ``W`` a product of two thin ones is trained:
``W x + s B A x`` with ``A`` (rank × in) and ``B`` (out × rank), which is zero at first.
``W`` itself stays as it was trained.
peft does it; it takes seconds to import, so it is imported when an encoder is built.
"""

from typing import Annotated, Any

from torch import nn

from mmbench.api import (
    Encoder,
    Fitted,
    Incompatible,
    Range,
    TimmModel,
    TransformersImage,
    TransformersText,
    hookimpl,
)

Rank = Annotated[int, Range(2, 32, log=True)]
Dropout = Annotated[float, Range(0.0, 0.3)]
SCALE = 2.0
"""α / rank, as most published adapters have it."""


def adapt(owner: str, model: nn.Module, *, rank: int, dropout: float) -> None:
    """Put an adapter beside every layer that trains, then train the adapters alone."""
    from peft import LoraConfig, inject_adapter_in_model

    targets = {name: layer for name, layer in model.named_modules() if adaptable(layer)}
    if not targets:
        raise Incompatible(f"{owner}: {type(model).__name__} has no linear layer to adapt.")
    config = LoraConfig(
        r=rank,
        lora_alpha=round(SCALE * rank),
        lora_dropout=dropout,
        target_modules=list(targets),
        fan_in_fan_out=any(transposed(layer) for layer in targets.values()),
    )
    inject_adapter_in_model(config, model)


def adaptable(layer: nn.Module) -> bool:
    """A linear map with a weight that trains; grouped convolutions are thin already."""
    linear = isinstance(layer, nn.Linear) or transposed(layer)
    mixing = isinstance(layer, nn.Conv2d) and layer.groups == 1
    return (linear or mixing) and bool(layer.weight.requires_grad)  # type: ignore[union-attr]


def transposed(layer: nn.Module) -> bool:
    """GPT-2's linear layer, whose weight is (in, out)."""
    return type(layer).__name__ == "Conv1D"


class TimmLoRA(TimmModel):
    """Any timm model with adapters, in all blocks or (``last_blocks``) in the last ones alone."""

    name = "timm-lora"

    def __init__(
        self,
        fitted: Fitted,
        *,
        model: str = "resnet18",
        weights: str = "",
        rank: Rank = 8,
        dropout: Dropout = 0.0,
        last_blocks: int = 0,
        size: int = 0,
    ) -> None:
        super().__init__(fitted, model=model, weights=weights, last_blocks=last_blocks, size=size)
        adapt(self.name, self.model, rank=rank, dropout=dropout)
        self.train()


class TransformersLoRA(TransformersText):
    """Any text model of transformers with adapters, in all blocks or in the last ones alone."""

    name = "transformers-lora"

    def __init__(
        self,
        fitted: Fitted,
        *,
        model: str = "distilbert/distilbert-base-uncased",
        rank: Rank = 8,
        dropout: Dropout = 0.0,
        last_blocks: int = 0,
        max_tokens: int = 64,
    ) -> None:
        kept: dict[str, Any] = {"last_blocks": last_blocks, "max_tokens": max_tokens}
        super().__init__(fitted, model=model, frozen=False, **kept)
        adapt(self.name, self.model, rank=rank, dropout=dropout)
        self.train()


class TransformersImageLoRA(TransformersImage):
    """Any image model of transformers with adapters, in all blocks or in the last ones alone."""

    name = "transformers-image-lora"

    def __init__(
        self,
        fitted: Fitted,
        *,
        model: str = "google/vit-base-patch16-224",
        rank: Rank = 8,
        dropout: Dropout = 0.0,
        last_blocks: int = 0,
    ) -> None:
        super().__init__(fitted, model=model, frozen=False, last_blocks=last_blocks)
        adapt(self.name, self.model, rank=rank, dropout=dropout)
        self.train()


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TimmLoRA, TransformersLoRA, TransformersImageLoRA]
