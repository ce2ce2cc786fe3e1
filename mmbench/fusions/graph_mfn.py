"""Graph memory fusion network: what happens across modalities is found by a dynamic fusion graph.

Zadeh, Liang, Poria, Cambria & Morency, "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset
and Interpretable Dynamic Fusion Graph", ACL 2018 (https://aclanthology.org/P18-1208).
Differs from the paper: any number of modalities up to five (the graph has 2^M vertices); one hidden
layer in every network; and as ``mfn`` says.
"""

from collections.abc import Callable
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions.mfn import Crossing, MFNFusion, perceptron
from mmbench.hookspecs import hookimpl


class FusionGraph(Crossing):
    """A vertex for each set of modalities, which reads the vertices of all of its subsets.

    The vertex of one modality is ``ReLU(S_m [c_m^(t−1); c_m^t])``, that of a larger set
    ``ReLU(W [α v; …])`` over its proper subsets; τ, the summary, is linear in ``[α v; …]`` over all
    sets. Each edge has its efficacy α in 0 to 1; a network finds all from the single modalities.
    """

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__(width)
        sizes = range(1, modalities + 1)
        sets = [s for size in sizes for s in combinations(range(modalities), size)]
        joint = sets[modalities:]
        self.parents = [[i for i, p in enumerate(sets) if set(p) < set(s)] for s in joint]
        self.singles = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(modalities))
        self.joints = nn.ModuleList(nn.Linear(len(p) * width, width) for p in self.parents)
        self.summary = nn.Linear(len(sets) * width, width)
        edges = sum(map(len, self.parents)) + len(sets)
        self.efficacy = perceptron(modalities * width, width, edges)

    def forward(self, changes: Tensor) -> Tensor:
        own = changes.unbind(dim=2)
        vertices = [f(x).relu() for f, x in zip(self.singles, own, strict=True)]
        efficacies = self.efficacy(torch.cat(vertices, dim=-1)).sigmoid()  # (batch, time, edge)
        edges = iter(efficacies.split(1, dim=-1))
        for joint, parents in zip(self.joints, self.parents, strict=True):
            read = [next(edges) * vertices[i] for i in parents]
            vertices.append(joint(torch.cat(read, dim=-1)).relu())
        return self.summary(  # type: ignore[no-any-return]
            torch.cat([next(edges) * v for v in vertices], dim=-1)
        )


class GraphMFNFusion(MFNFusion):
    """``z = LayerNorm([h_1; …; h_M; u])``: as ``mfn``, but ĉ is the summary τ of a fusion graph.

    A vertex for each set of modalities reads the vertices of its subsets, each by an efficacy in 0
    to 1 that a network finds at each step. A missing modality is zeros at every step.
    """

    name = "graph-mfn"
    capabilities = Capabilities(
        min_modalities=2, max_modalities=5, handles_missing=True, interaction=True
    )
    crossing: ClassVar[Callable[[int, int], Crossing]] = FusionGraph


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [GraphMFNFusion]
