"""Smaller models: against slow formulas, and nothing lost on the way to disk and back."""

import pytest
import torch
from torch import nn

from mmbench.compression import Compression, compress
from mmbench.compression.int8 import Int8Linear, use_int8
from mmbench.compression.pruning import prune_smallest
from mmbench.compression.sparse import packed, unpacked
from mmbench.errors import InvalidParameter


def test_an_int8_layer_counts_in_whole_numbers():
    torch.manual_seed(0)
    linear, inputs = nn.Linear(12, 5), torch.randn(2, 3, 12) * 4
    layer = Int8Linear(linear)
    for row, found in zip(inputs.reshape(-1, 12), layer(inputs).reshape(-1, 5), strict=True):
        step = row.abs().max() / 127
        for out in range(5):
            weight = linear.weight[out].detach()
            size = weight.abs().max() / 127
            whole = sum(round(float(r / step)) * round(float(w / size))
                        for r, w in zip(row, weight, strict=True))  # fmt: skip
            assert found[out] == pytest.approx(
                float(whole * step * size + linear.bias[out].detach()), 1e-4
            )
    assert (layer.weight - linear.weight).abs().max() <= linear.weight.abs().max() / 127 / 2 + 1e-7
    assert layer(torch.zeros(1, 12)).squeeze().tolist() == pytest.approx(linear.bias.tolist())
    assert layer(torch.zeros(0, 12)).shape == (0, 5)


def test_layers_that_stand_twice_or_do_more_are_respected():
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict(
        {"a": nn.Sequential(shared), "b": shared, "attention": nn.MultiheadAttention(4, 2)}
    )
    use_int8(model)
    assert isinstance(model["b"], Int8Linear) and model["a"][0] is model["b"]
    assert not any(isinstance(m, Int8Linear) for m in model["attention"].modules())


def test_a_module_that_reads_a_weight_still_can():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    inputs = torch.randn(2, 3, 8)
    with torch.inference_mode():
        exact = layer(inputs)
        use_int8(layer)
        assert torch.allclose(layer(inputs), exact, atol=0.1)


def test_the_smallest_weights_of_all_layers_go():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.Flatten(), nn.Linear(8, 6), nn.LayerNorm(6))
    model[0].to(memory_format=torch.channels_last)
    before = torch.cat([model[0].weight.flatten(), model[2].weight.flatten()])
    prune_smallest(model, 0.25)
    after = torch.cat([model[0].weight.flatten(), model[2].weight.flatten()])
    gone = before.abs().argsort()[: round(0.25 * len(before))]
    assert set((after == 0).nonzero().flatten().tolist()) == set(gone.tolist())
    assert sorted(model.state_dict()) == [
        "0.bias",
        "0.weight",
        "2.bias",
        "2.weight",
        "3.bias",
        "3.weight",
    ]
    prune_smallest(nn.LayerNorm(3), 0.5)  # nothing to prune is no error


def test_what_is_packed_comes_back():
    torch.manual_seed(0)
    state = {
        "pruned": torch.where(torch.rand(7, 9) < 0.3, torch.randn(7, 9), 0.0),
        "dense": torch.randn(3, 4),
        "whole": torch.randint(-2, 2, (5, 3, 3)).to(torch.int8) * (torch.rand(5, 3, 3) < 0.2),
        "scalar": torch.tensor(0.0),
        "half": torch.zeros(64, dtype=torch.bfloat16),
        "none": torch.zeros(0, 3),
    }
    stored = packed(state)
    assert "dense" in stored and "pruned" not in stored and "half" not in stored
    found = unpacked(stored)
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


def test_a_compression_says_what_it_is():
    assert not Compression() and str(Compression()) == "original"
    assert str(Compression(0.5, int8=True)) == "50% pruned, int8"
    with pytest.raises(InvalidParameter, match="below 1; got 1"):
        Compression(1.0)
    linear = nn.Sequential(nn.Linear(4, 4))
    compress(linear, Compression(0.5, int8=True))
    assert int((linear[0].values == 0).sum()) >= 8
