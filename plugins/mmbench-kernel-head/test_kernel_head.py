"""The contract kit, the formula written slowly, the kernel it stands for, and the entry point."""

from importlib.metadata import entry_points
from math import cos, exp, sqrt

import torch
from mmbench_kernel_head import KernelHead

from mmbench.testing import head_contract


def formula(head, fused):
    """One random feature of one sample at a time."""
    rows = []
    for z in fused.tolist():
        waves = [
            sqrt(2) * cos(sum(w * x for w, x in zip(frequency, z, strict=True)) + phase)
            for frequency, phase in zip(head.frequency.tolist(), head.phase.tolist(), strict=True)
        ]
        outputs = zip(head.linear.weight.tolist(), head.linear.bias.tolist(), strict=True)
        rows.append([sum(w * x for w, x in zip(ws, waves, strict=True)) + b for ws, b in outputs])
    return torch.tensor(rows, dtype=fused.dtype)


TestContract = head_contract(KernelHead, reference=formula)


def test_inner_products_come_near_the_gaussian_kernel() -> None:
    torch.manual_seed(0)
    head = KernelHead(5, 1, features=100_000, length=0.7)
    one, other = torch.randn(2, 5)
    features = head.features(torch.stack([one, other]))
    expected = exp(-(one - other).square().sum().item() / (2 * 0.7**2 * 5))
    assert abs(float(features[0] @ features[1]) - expected) < 0.02


def test_it_is_found_by_its_entry_point() -> None:
    (entry,) = entry_points(group="mmbench", name="kernel-head")
    assert entry.load().register_heads() == [KernelHead]
