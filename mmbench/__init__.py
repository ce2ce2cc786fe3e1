"""A plugin-based AutoML benchmark suite for multimodal fusion.

Plugin authors: ``from mmbench.api import …``. Read ``mmbench.trial`` first: it is the benchmark.
To use a model: ``from mmbench import load_model``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmbench.predicting import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: PyTorch takes seconds."""
    if name == "load_model":
        from mmbench.predicting import load_model

        return load_model
    raise AttributeError(f"module 'mmbench' has no attribute {name!r}")
