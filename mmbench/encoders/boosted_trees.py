"""The leaves that a row of a table falls into, of small trees boosted on the training target.

He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014; the boosting
is that of squared error (Friedman, Annals of Statistics 2001), each tree on half of the rows
(Friedman, "Stochastic Gradient Boosting", 2002), each question from some of the columns.
Differs from the paper: a tree predicts all outputs at once, classes as 0 and 1, so that one
ensemble serves every kind of target.
"""

from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._length import LENGTH
from mmbench.encoders._to_target import outputs
from mmbench.encoders.tabular import Vector
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Column, Encoded, TargetKind

SHALLOW, DEEP = 4, 6
TREES = {SHALLOW: 200, DEEP: 100}
"""By depth, how many are grown: the leaves of more deep ones would be more than most data fill."""
RATE = 0.05
"""How much of what a tree says is believed; a smaller share of more trees generalises better."""
ROWS, COLUMNS = 0.5, 0.3
"""The share of rows that a tree grows on, and of columns that it chooses each question from."""
MOST_ROWS = 10_000
"""Trees are grown on at most this many training rows, spread evenly over them."""
LEAST = 20
"""Rows of a leaf, where there are enough."""
LEAF, NEVER = -1, torch.finfo(torch.float32).max
"""What scikit-learn calls the children of a leaf; a threshold that no number is above."""


class BoostedTrees(Vector):
    """One of 16 or 64 places of each tree, every vector of one length; nothing trains further.

    ``trees``: how many of those that were grown are read, the first and most telling ones: at most
    200 of ``depth`` 4, 100 of ``depth`` 6.
    """

    name = "boosted-trees"
    needs_target = True
    features: Tensor  # (trees, nodes), the number that a node asks for; nodes as in a heap
    thresholds: Tensor  # (trees, nodes), a row goes right if its number is larger

    def __init__(
        self,
        fitted: Fitted,
        *,
        trees: Annotated[int, Choice(25, 50, 100, 200)] = 200,
        depth: Annotated[int, Choice(SHALLOW, DEEP)] = SHALLOW,
    ) -> None:
        super().__init__(fitted)
        nodes = fitted if depth == SHALLOW else fitted["deep"]
        self.register_buffer("features", torch.tensor(nodes["features"])[:trees])
        self.register_buffer("thresholds", torch.tensor(nodes["thresholds"])[:trees])
        self.depth, self.out_dim = depth, 2**depth * len(self.features)

    @classmethod
    def fit_to_target(cls, train: Column, target: Tensor, kind: TargetKind) -> Fitted:
        """Each number's mean and deviation, and the trees of either depth."""
        fitted: dict[str, Any] = dict(cls.fit(train))
        index = train.value_of_row
        rows = train.present.nonzero().squeeze(1)
        if len(rows) > MOST_ROWS:
            rows = rows[torch.linspace(0, len(rows) - 1, MOST_ROWS).long()]
        standard = Vector(fitted)(train.values[index[rows]]).pooled
        told = outputs(target[rows], kind)
        return fitted | grown(standard, told, SHALLOW) | {"deep": grown(standard, told, DEEP)}

    def forward(self, inputs: Tensor) -> Encoded:
        standard = super().forward(inputs).pooled
        places = torch.arange(2**self.depth, device=standard.device)
        hot = (self.leaves(standard).unsqueeze(-1) == places).flatten(1)
        return Encoded.vector(hot.to(standard.dtype) * LENGTH / len(self.features) ** 0.5)

    def leaves(self, standard: Tensor) -> Tensor:
        """(rows, trees) which leaf of each tree, numbered from left to right."""
        tree = torch.arange(len(self.features), device=standard.device)
        node = torch.zeros_like(standard[:, :1], dtype=torch.long).expand(-1, len(tree))
        for _ in range(self.depth):
            asked = standard.gather(1, self.features[tree, node])
            node = 2 * node + 1 + (asked > self.thresholds[tree, node]).long()
        found: Tensor = node - (2**self.depth - 1)
        return found


def grown(inputs: Tensor, target: Tensor, depth: int) -> dict[str, Any]:
    """The features and thresholds of all trees, each fitted to what those before it have left."""
    from sklearn.tree import DecisionTreeRegressor

    x, left = inputs.numpy(), (target - target.mean(0)).numpy()
    least = max(1, min(LEAST, len(x) // 10))
    draw, nodes = np.random.RandomState(0), []
    for _ in range(TREES[depth]):
        tree = DecisionTreeRegressor(
            max_depth=depth, min_samples_leaf=least, max_features=COLUMNS, random_state=draw
        )
        rows = draw.permutation(len(x))[: max(1, round(ROWS * len(x)))]
        tree.fit(x[rows], left[rows])
        left = left - RATE * tree.predict(x).reshape(left.shape)
        nodes.append(heap(tree.tree_, depth))
    return {
        "features": [[feature for feature, _ in tree] for tree in nodes],
        "thresholds": [[threshold for _, threshold in tree] for tree in nodes],
    }


def heap(tree: Any, depth: int) -> list[tuple[int, float]]:
    """Feature and threshold of each node, level by level; below a leaf every row goes left."""
    found: list[tuple[int, float]] = []
    level = [0]
    for _ in range(depth):
        below = []
        for node in level:
            is_leaf = node == LEAF or tree.children_left[node] == LEAF
            if is_leaf:
                found.append((0, NEVER))
                below += [LEAF, LEAF]
            else:
                found.append((int(tree.feature[node]), float(tree.threshold[node])))
                below += [int(tree.children_left[node]), int(tree.children_right[node])]
        level = below
    return found


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [BoostedTrees]
