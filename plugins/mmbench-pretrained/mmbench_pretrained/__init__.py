"""Frozen and fine-tuned encoders whose weights lie inside packages: no hub is needed.

The packages are data to us: they are never depended on, installed or imported.
"""

from typing import Any

from mmbench.api import Encoder, hookimpl
from mmbench_pretrained.ge2e import GE2E
from mmbench_pretrained.glove import Glove
from mmbench_pretrained.lite0 import Lite0
from mmbench_pretrained.minilm import MiniLM
from mmbench_pretrained.whisper import WhisperBase, WhisperTiny


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [Lite0, MiniLM, Glove, WhisperTiny, WhisperBase, GE2E]


@hookimpl
def register_commands(app: Any) -> None:
    from mmbench_pretrained.commands import weights

    app.add_typer(weights, name="weights")
