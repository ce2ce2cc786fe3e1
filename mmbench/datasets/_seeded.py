"""A generator for each purpose of each generated task."""

import hashlib

import torch

SEED = 20260117


def generator(task: str, purpose: str) -> torch.Generator:
    """The same at every call; no two tasks or purposes share one."""
    digest = hashlib.sha256(f"{SEED}/{task}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
