"""The same graph in ONNX, for any runtime that reads it; checked through onnxruntime.

``pip install 'mmbench[onnx]'`` brings what it takes.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.errors import DataUnavailable
from mmbench.exporting.graph import (
    TOLERANCE,
    Inputs,
    NotTraced,
    Parity,
    differs,
    some_inputs,
    traced,
)
from mmbench.saved import SavedModel

ONNX = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_packages() -> None:
    """Before a model is trained or written: whether ONNX can be."""
    if absent := [name for name in PACKAGES if find_spec(name) is None]:
        raise DataUnavailable(
            f"--onnx needs {', '.join(absent)}, which this installation lacks: "
            "pip install 'mmbench[onnx]'."
        )


def write_onnx(saved: SavedModel, folder: Path) -> Parity:
    """``model.onnx`` in ``folder``, one input per modality by its name, unless it would differ."""
    check_packages()
    path = folder / ONNX
    try:
        inputs = some_inputs(saved)
        _write(saved, inputs, path)
        difference = differs(saved.model, inputs, lambda asked: _answer(path, asked))
    except NotTraced as reason:
        return Parity(None, str(reason))
    except Exception as error:  # noqa: BLE001 - an operation of a component may not be in ONNX
        path.unlink(missing_ok=True)
        return Parity(None, f"{type(error).__name__}: {error}".splitlines()[0])
    if not difference <= TOLERANCE:
        path.unlink()
        return Parity(None, f"it differs from the model by {difference:.2g}")
    return Parity(difference)


def _write(saved: SavedModel, inputs: Inputs, path: Path) -> None:
    program = traced(saved.model, inputs)
    with _quiet():
        torch.onnx.export(
            program, (), path, dynamo=True, external_data=False, verbose=False,
            input_names=list(inputs), output_names=["scores"],
            custom_translation_table={torch.ops.aten._int_mm.default: _whole_product()},
        )  # fmt: skip


def _whole_product() -> Any:
    """ONNX's own product of 8-bit numbers, which PyTorch's exporter does not know of."""
    from onnxscript import opset18

    def product(rows: Any, values: Any) -> Any:
        return opset18.MatMulInteger(rows, values)

    return product


def _answer(path: Path, inputs: Inputs) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    asked = {m: values.numpy() for m, values in inputs.items()}
    return torch.from_numpy(session.run(None, asked)[0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its own users of its steps and of what it does not need."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
