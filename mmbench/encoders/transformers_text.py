"""Text models of the transformers library (Wolf et al., EMNLP 2020 demos): BERT and its kin."""

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted, Offered
from mmbench.encoders._length import to_length
from mmbench.encoders._partial import PartlyTrained
from mmbench.encoders._transformers import load, quiet
from mmbench.encoders._words import padded, strings
from mmbench.errors import DataUnavailable
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Encoded, Values

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
PADDING = -1
"""No tokeniser has this id; some have no id for padding at all."""


class TransformersText(PartlyTrained, Encoder):
    """Any model that reads token ids: tokens are its last states, pooled is their mean.

    ``model``: the folder that ``save_pretrained`` wrote, or a name on the hub. ``frozen``, or only
    the ``last_blocks`` train (0: all do). A text is cut after ``max_tokens``. Its
    features are cut to one length.
    """

    name = "transformers"
    accepts = "text"
    emits_sequences = True
    offered: ClassVar[Offered] = "named"
    batched = False  # the library branches on values

    def __init__(
        self,
        fitted: Fitted,
        *,
        model: str = "distilbert/distilbert-base-uncased",
        frozen: bool = True,
        last_blocks: int = 0,
        max_tokens: int = 64,
    ) -> None:
        super().__init__(fitted)
        self.model, folder = load(
            self.name, model, "input_ids", frozen=frozen, last_blocks=last_blocks, pooler=False
        )
        self.tokenizer = _tokenizer(folder)
        self.frozen, self.max_tokens = frozen, max_tokens
        self.out_dim: int = self.model.config.hidden_size
        self.train()

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """Nothing: the vocabulary came with the weights."""
        strings(train.values)
        return {}

    def prepare(self, values: Values) -> Tensor:
        """(texts, time) token ids, special ones included, padded to the longest text."""
        texts = list(strings(values))
        ids = (
            self.tokenizer(texts, truncation=True, max_length=self.max_tokens)["input_ids"]
            if texts
            else []
        )
        return padded([one or [self.tokenizer.eos_token_id or 0] for one in ids], PADDING)

    def forward(self, inputs: Tensor) -> Encoded:
        mask = inputs != PADDING
        longest = int(mask.sum(1).amax()) if len(inputs) else 0  # columns of padding cost time
        if longest == 0:
            return Encoded(self._no_states(inputs), mask)
        states = self.model(
            input_ids=inputs[:, :longest].clamp(min=0), attention_mask=mask[:, :longest].long()
        ).last_hidden_state
        return to_length(Encoded(F.pad(states, (0, 0, 0, inputs.shape[1] - longest)), mask))

    def _no_states(self, inputs: Tensor) -> Tensor:
        weight: Tensor = next(self.model.parameters())
        return weight.new_zeros(*inputs.shape, self.out_dim)


def _tokenizer(folder: Path) -> Any:
    """Without a vocabulary the library would make an empty one, to which all words are unknown."""
    from transformers import AutoTokenizer

    if not any(file for pattern in VOCABULARIES for file in folder.glob(pattern)):
        raise DataUnavailable(
            f"{folder} holds no vocabulary ({', '.join(VOCABULARIES)}). Save the tokeniser there "
            "too: `tokenizer.save_pretrained(folder)`."
        )
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # whatever a damaged or foreign folder makes the readers raise
        raise DataUnavailable(f"{folder} holds no readable tokeniser: {error}") from error


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TransformersText]
