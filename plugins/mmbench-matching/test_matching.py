"""The contract kit, the formula, and the entry point, as any plugin would test them."""

import torch
from mmbench_matching import MatchingFusion

from mmbench.api import Encoded
from mmbench.testing import check_fusion, check_installed


def test_it_keeps_every_promise_of_a_fusion() -> None:
    check_fusion(MatchingFusion)


def test_it_computes_the_matching_vector() -> None:
    fusion = MatchingFusion({"a": 3, "b": 2}, width=16).double().eval()
    for parameter in fusion.parameters():
        parameter.requires_grad = False
    a, b = torch.randn(4, 3).double(), torch.randn(4, 2).double()
    u = a @ fusion.project["a"].weight.T + fusion.project["a"].bias
    v = b @ fusion.project["b"].weight.T + fusion.project["b"].bias
    raw = torch.stack(
        [torch.tensor([*u[i], *v[i], *abs(u[i] - v[i]), *(u[i] * v[i])]) for i in range(4)]
    )
    centred = raw - raw.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    given = {"a": Encoded.vector(a), "b": Encoded.vector(b)}
    torch.testing.assert_close(fusion(given), expected)


def test_it_is_found_by_its_entry_point() -> None:
    check_installed("mmbench-matching", MatchingFusion)
