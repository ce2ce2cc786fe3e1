"""Every encoder and fusion is one graph for any number of rows, in ONNX too, or is known not to be.

A size that Python reads (``len(tensor)``) is a constant of the graph: ``tensor.shape[0]`` is none.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from mmbench.contracts import Encoder, Fusion
from mmbench.exporting.inputs import NotTraced, some_inputs
from mmbench.exporting.onnx_graph import answer, as_onnx
from mmbench.plugins import load_plugins
from mmbench.testing.columns import example_column
from mmbench.testing.fusion_examples import modalities_of, subject
from mmbench.types import MISSING, Column, Encoded, Split

# recurrent layers list their weights anew
pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
BUILT_IN = load_plugins()
LARGE = {"timm", "timm-frames", "transformers", "transformers-image", "torchaudio"}
"""Models of other libraries: whether they can be is theirs to say."""
NO_GRAPH = {"regions"}
"""Finds connected areas outside torch."""
QUICK = {"mfcc-grid", "hog-colours", "gru", "early-transformer", "concat-early", "mcb"}
"""Those that took something to be graphs."""
NEAR, NEAR_OF_ROOTS = 1e-4, 1e-3
"""A signed root makes 1e-4 of a rounding of 1e-8: mcb's is the last thing that it does."""
TRACED, ASKED = 6, 4
"""Rows that the graph is made with, and that it is asked."""


class EncoderAlone(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs: Tensor) -> Tensor:
        encoded = self.encoder(inputs)
        return torch.cat([encoded.tokens.flatten(1), encoded.pooled], dim=1)


class FusionAlone(nn.Module):
    def __init__(self, fusion: Fusion, modalities: list[str]) -> None:
        super().__init__()
        self.fusion, self.modalities = fusion, modalities

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        parts = ("tokens", "mask", "pooled")
        features = {m: Encoded(*(inputs[f"{m}.{p}"] for p in parts)) for m in self.modalities}
        fused = self.fusion(features)
        return fused if isinstance(fused, Tensor) else fused.vector


def is_one_graph(module: nn.Module, inputs, asked, rows) -> ExportedProgram:
    """Made with some rows, it says of fewer what the module says."""
    with torch.no_grad():
        program = export(module.eval(), (inputs,), dynamic_shapes=(rows,))
        torch.testing.assert_close(program.module()(asked), module(asked), rtol=1e-3, atol=NEAR)
    return program


def says_the_same_in_onnx(
    program: ExportedProgram, module: nn.Module, asked, path: Path, near: float = NEAR
) -> None:
    pytest.importorskip("onnxruntime")
    inputs = asked if isinstance(asked, dict) else {"values": asked}
    as_onnx(program, list(inputs), "out", path)
    with torch.no_grad():
        torch.testing.assert_close(answer(path, inputs), module(asked), rtol=1e-3, atol=near)


def cases(names):
    slow = pytest.mark.slow
    return [pytest.param(n, marks=() if n in QUICK else slow) for n in sorted(names)]


@pytest.mark.parametrize("name", cases(BUILT_IN.encoders.keys() - LARGE - NO_GRAPH))
def test_an_encoder_is_a_graph_for_any_number_of_rows(name, tmp_path):
    cls = BUILT_IN.encoders[name]
    column = example_column(cls.accepts)
    encoder = cls(cls.fit_to_target(column, torch.arange(len(column)) % 2, "classification"))
    values = encoder.prepare(column.values)
    module, asked = EncoderAlone(encoder), values[:ASKED]
    program = is_one_graph(module, values, asked, {0: Dim("batch")})
    says_the_same_in_onnx(program, module, asked, tmp_path / "encoder.onnx")


@pytest.mark.parametrize("name", cases(BUILT_IN.fusions.keys() - {"only", "majority"}))
def test_a_fusion_is_a_graph_for_any_number_of_rows(name, tmp_path):
    given = subject(BUILT_IN.fusions[name], {"a": 3, "b": 5}, batch=TRACED)
    asked = {key: value[:ASKED] for key, value in given.inputs.items()}
    rows = {key: {0: Dim("batch")} for key in given.inputs}
    module = FusionAlone(given.build(), modalities_of(given))
    program = is_one_graph(module, given.inputs, asked, rows)
    near = NEAR_OF_ROOTS if name == "mcb" else NEAR
    says_the_same_in_onnx(program, module, asked, tmp_path / "fusion.onnx", near)


def test_a_graph_is_tried_with_requests_that_miss_nothing():
    index = torch.tensor([MISSING, 0, 1, MISSING])
    requests = Split({"a": Column(torch.eye(4)), "b": Column(torch.eye(2), index)}, torch.zeros(4))
    saved = SimpleNamespace(
        model=SimpleNamespace(encoders_by_modality={"a": None, "b": None}), requests=requests
    )
    inputs = some_inputs(saved)
    assert inputs["a"].tolist() == torch.eye(4)[1:3].tolist()
    assert inputs["b"].tolist() == torch.eye(2).tolist()
    saved.requests = requests.rows(torch.tensor([0, 1]))
    assert len(some_inputs(saved)["a"]) == 2  # of a single row a graph would take no more
    saved.requests = requests.rows(torch.tensor([0, 3]))
    with pytest.raises(NotTraced, match="every request kept with the model misses a modality"):
        some_inputs(saved)
