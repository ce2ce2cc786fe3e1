"""The same graph in ONNX, for any runtime that reads it; checked through onnxruntime.

``pip install 'mmbench[onnx]'`` brings what it takes.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from mmbench.errors import DataUnavailable, brief
from mmbench.exporting.graph import TOLERANCE, Parity, differs, traced
from mmbench.exporting.inputs import Inputs, NotTraced, asks, long_inputs, reads
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
        inputs = long_inputs(saved)
        program = traced(saved.model, inputs)
        as_onnx(program, list(inputs), "scores", path)
        asked = asks(program, inputs)
        difference = differs(saved.model, asked, lambda one: answer(path, one))
    except NotTraced as reason:
        return Parity(None, str(reason))
    except Exception as error:  # noqa: BLE001 - an operation of a component may not be in ONNX
        path.unlink(missing_ok=True)
        return Parity(None, _reason(error))
    if not difference <= TOLERANCE:
        path.unlink()
        return Parity(None, f"it differs from the model by {difference:.2g}")
    return Parity(difference, reads=reads(program, inputs))


def as_onnx(program: ExportedProgram, inputs: list[str], output: str, path: Path) -> None:
    """A graph with these names as a file; raises where an operation is not in ONNX."""
    with _quiet():
        torch.onnx.export(
            program, (), path, dynamo=True, external_data=False, verbose=False,
            input_names=inputs, output_names=[output],
            custom_translation_table=_translations(),
        )  # fmt: skip


def answer(path: Path, inputs: Inputs) -> Tensor:
    """What the runtime says; an input that the graph does not read is left aside."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    asked = {i.name: inputs[i.name].numpy() for i in session.get_inputs()}
    return torch.from_numpy(session.run(None, asked)[0])


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operations that PyTorch's exporter does not know of, in those of ONNX."""
    from onnxscript import opset18

    def product_of_8_bit_numbers(rows: Any, values: Any) -> Any:
        return opset18.MatMulInteger(rows, values)

    def hypotenuse(one: Any, other: Any) -> Any:
        return opset18.Sqrt(opset18.Add(opset18.Mul(one, one), opset18.Mul(other, other)))

    def sort(
        values: Any,
        *,
        stable: bool = True,  # noqa: ARG001 - it always is: of equal values, TopK has the first first
        dim: int = -1,
        descending: bool = False,
    ) -> Any:
        sizes: Any = opset18.Shape(values)
        place: Any = opset18.Constant(value_ints=[dim])
        size = opset18.Gather(sizes, place)
        return opset18.TopK(values, size, axis=dim, largest=int(descending), sorted=1)

    return {
        torch.ops.aten._int_mm.default: product_of_8_bit_numbers,
        torch.ops.aten.sort.stable: sort,
        torch.ops.prims.hypot.default: hypotenuse,
    }


def _reason(error: BaseException) -> str:
    """Of what the exporter wraps in advice, the innermost: the operation that is not in ONNX."""
    while error.__cause__ is not None:
        error = error.__cause__
    return brief(error).rstrip(".")


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
