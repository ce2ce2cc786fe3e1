"""What the adapters of the transformers library share: finding a model, loading it, freezing it.

transformers takes seconds to import, so it is imported when one of its models is built.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from mmbench.encoders._hub import model_folder
from mmbench.encoders._partial import blocks_along, choose_trained
from mmbench.errors import DataUnavailable, Incompatible

PARTS_BY_INPUT = {"input_ids": "text_model", "pixel_values": "vision_model"}
"""Where a model of several kinds keeps the part for one of them."""


def load(
    owner: str, model: str, reads: str, *, frozen: bool, last_blocks: int, pooler: bool
) -> tuple[Any, Path]:
    """The part of ``model`` that reads ``reads`` (its main input), and the folder it came from.

    Nothing in the folder is executed. A layer on top that nothing reads is left out.
    """
    folder = model_folder(model)
    whole, missing = _from_folder(folder)
    part = _part(whole, reads)
    if part is None:
        raise Incompatible(
            f"{owner}: {model} is a {type(whole).__name__}, which reads "
            f"{whole.main_input_name}, not {reads}."
        )
    if getattr(part, "pooler", None) is not None and (not pooler or _lacks_pooler(missing)):
        part.pooler = None
    missing = {name for name in missing if "pooler" not in name}
    if missing:
        raise DataUnavailable(
            f"{folder} does not hold all weights of {type(whole).__name__}: {len(missing)} are "
            f"missing, such as {min(missing)!r}."
        )
    choose_trained(owner, part, blocks(part), frozen=frozen, last_blocks=last_blocks)
    return part, folder


def _from_folder(folder: Path) -> tuple[Any, set[str]]:
    from transformers import AutoModel

    try:
        with quiet():
            model, info = AutoModel.from_pretrained(
                str(folder), local_files_only=True, output_loading_info=True
            )
    except Exception as error:  # whatever a damaged or foreign folder makes the readers raise
        raise DataUnavailable(f"{folder} holds no model that can be loaded: {error}") from error
    return model, {*info["missing_keys"], *info["mismatched_keys"]}


def _part(whole: Any, reads: str) -> Any:
    """The encoder of an encoder-decoder, the text or vision half of a pair, or the model itself."""
    part = getattr(whole, PARTS_BY_INPUT.get(reads, ""), None)
    if part is None and whole.main_input_name == reads:
        part = whole.get_encoder() if whole.config.is_encoder_decoder else whole
    return part


def _lacks_pooler(missing: set[str]) -> bool:
    return any("pooler" in name for name in missing)


def blocks(model: nn.Module) -> dict[str, int]:
    """The block of each parameter; blocks are the longest list of modules, in every model there."""
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    return blocks_along(model, max(lists, key=lambda item: len(item[1]))[0] if lists else "")


def settings(folder: Path, file: str) -> Mapping[str, Any]:
    """One of the JSON files beside the weights; empty if there is none."""
    import json

    path = folder / file
    return json.loads(path.read_text()) if path.is_file() else {}


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no advice while a model loads; what is wrong is raised instead."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
