"""Encoders of tables: which columns are one field, and each encoder against its formula."""

import math

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeRegressor
from torch import nn
from torch.nn import functional as F

from mmbench.encoders._fields import fields
from mmbench.encoders.boosted_trees import BoostedTrees
from mmbench.encoders.ft_transformer import FTTransformer
from mmbench.encoders.periodic import Periodic
from mmbench.errors import Incompatible
from mmbench.features import weights
from mmbench.optimizer import AdamW
from mmbench.plugins import load_plugins
from mmbench.search.candidates import _encoders_for
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.testing import encoder_contract
from mmbench.trial import Workbench, train_trial
from mmbench.types import MISSING, Column, Encoded, Task

NAN = float("nan")
TABLE = torch.tensor(
    [  # two numbers, a colour of three, a flag
        [0.5, 10.0, 1, 0, 0, 1],
        [-1.0, 30.0, 0, 1, 0, 1],
        [2.0, NAN, 0, 0, 1, 1],
        [0.1, 20.0, 0, 0, 0, 0],
        [0.7, 25.0, 1, 0, 0, 0],
    ]
)


def test_places_that_exclude_each_other_are_one_field():
    assert fields(TABLE) == [[0], [1], [2, 3, 4], [5]]
    assert fields(torch.rand(4, 3)) == [[0], [1], [2]]
    assert fields(torch.zeros(0, 2)) == [[0, 1]]


def cell(encoder, row, column):
    """A number standardised, an empty one at the mean."""
    mean, std = (float(t[column]) for t in (encoder.standardise.mean, encoder.standardise.std))
    return 0.0 if row[column].isnan() else (float(row[column]) - mean) / std


def mlp(net, x):
    return F.linear(F.gelu(F.linear(x, net[0].weight, net[0].bias)), net[2].weight, net[2].bias)


def periodic(encoder, inputs):
    """Number by number and output by output."""
    vectors = []
    for row in inputs:
        parts = []
        for at, column in enumerate((0, 1, 5)):
            x = cell(encoder, row, column)
            angles = [2 * math.pi * c * x for c in encoder.frequencies[at].tolist()]
            waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            mixed = sum(w * encoder.weight[at, i] for i, w in enumerate(waves))
            parts.append((mixed + encoder.bias[at]).clamp(min=0))
        vectors.append(mlp(encoder.net, torch.cat([*parts, row[2:5]])))
    return Encoded.vector(torch.stack(vectors))


def ft_transformer(encoder, inputs):
    """A row's tokens one by one; the blocks by torch's own attention."""
    rows = []
    for row in inputs:
        tokens = [encoder.row]
        for at, column in ((0, 0), (1, 1), (3, 5)):
            token = cell(encoder, row, column) * encoder.vectors[column] + encoder.biases[at]
            tokens.append(token)
        colour = [encoder.vectors[2 + place] for place in range(3) if row[2 + place] == 1]
        tokens.insert(3, sum(colour, start=encoder.biases[2]))
        x = torch.stack(tokens)
        for block in encoder.blocks:
            x = x + attention(block, block.attention_norm(x))
            x = x + mlp(block.feed, block.feed_norm(x))
        rows.append(encoder.norm(x))
    tokens = torch.stack(rows)
    return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), tokens[:, 0])


def attention(block, x):
    mixed, _ = F.multi_head_attention_forward(
        x, x, x, x.shape[1], 4,
        block.query_key_value.weight, block.query_key_value.bias, None, None, False, 0.0,
        block.out.weight, block.out.bias,
    )  # fmt: skip
    return mixed


TestPeriodic = encoder_contract(Periodic, Column(TABLE), reference=periodic)
TestFTTransformer = encoder_contract(
    FTTransformer, Column(TABLE), reference=ft_transformer, width=32
)


def error_after_training(encoder: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    head = nn.Linear(encoder.out_dim, 1)
    optimizer = AdamW([*encoder.parameters(), *head.parameters()], weight_decay=0.0)
    for _ in range(150):
        loss = (head(encoder(x).pooled).squeeze(1) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(1e-2)
    return loss.item()


def test_periodic_features_fit_what_moves_fast():
    """A sine of eight cycles over the range, which a plain MLP barely follows (Rahaman 2019)."""
    from mmbench.encoders.tabular import MLP

    x = torch.linspace(-1.7, 1.7, 128).unsqueeze(1)
    y = torch.sin(16 * math.pi * x[:, 0] / 3.4)
    errors = {}
    for cls, params in ((MLP, {}), (Periodic, {"sigma": 2.0})):
        torch.manual_seed(0)
        errors[cls] = error_after_training(cls(cls.fit(Column(x)), **params), x, y)
    assert errors[Periodic] < 0.05 < 0.3 < errors[MLP]


@pytest.mark.parametrize("cls", [Periodic, FTTransformer])
def test_a_category_never_seen_is_no_error(cls):
    encoder = cls(cls.fit(Column(TABLE)))
    unseen = torch.tensor([[NAN, NAN, 1.0, 1.0, 0.0, 0.0]])
    assert encoder(unseen).pooled.isfinite().all()


# Trees ------------------------------------------------------------------------------------------


def leaf(tree, features, node=0):
    """The leaves of a scikit-learn tree by walking it: the path of each row as letters."""
    if tree.children_left[node] < 0:
        return ""
    right = features[tree.feature[node]] > tree.threshold[node]
    child = (tree.children_right if right else tree.children_left)[node]
    return ("R" if right else "L") + leaf(tree, features, child)


@pytest.mark.parametrize("depth", [4, 6])
def test_trees_are_those_of_gradient_boosting(depth):
    """Path by path as scikit-learn's own trees, grown here one after the other on residuals."""
    rng = np.random.RandomState(0)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=draw)
    y = (x[:, 0] > 0.3).float() * x[:, 1] + 0.1 * torch.randn(400, generator=draw)
    train = Column(x, torch.tensor([*range(300), MISSING, MISSING]))
    target = torch.cat([y[:300], torch.tensor([90.0, 90.0])])
    fitted = BoostedTrees.fit_to_target(train, target, "regression")
    encoder = BoostedTrees(fitted, trees=16, depth=depth)
    standard = ((x - x[:300].mean(0)) / x[:300].std(0, correction=0)).numpy()
    left = ((y[:300] - y[:300].mean()) / y[:300].std(correction=0)).numpy()
    found = encoder.leaves(encoder.standardise(x))
    assert len(encoder.features) == 16
    for number in range(16):
        tree = DecisionTreeRegressor(
            max_depth=depth, min_samples_leaf=20, max_features=0.3, random_state=rng
        )
        half = rng.permutation(300)[:150]
        tree.fit(standard[half], left[half])
        left = left - 0.05 * tree.predict(standard[:300])
        paths = [leaf(tree.tree_, row) for row in standard]
        places = [int(p.ljust(depth, "L").replace("L", "0").replace("R", "1"), 2) for p in paths]
        assert found[:, number].tolist() == places
    pooled = encoder(x).pooled.unflatten(1, (16, 2**depth))
    assert torch.equal(pooled.argmax(2), found)
    assert torch.allclose(pooled.square().sum((1, 2)), torch.full((400,), 64.0))


def test_trees_of_another_target_are_others():
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    fitted = [
        BoostedTrees.fit_to_target(Column(x), target, kind)
        for target, kind in (
            ((x[:, 0] > 0).long(), "classification"),
            ((x > 0).long(), "multilabel"),
            (x[:, 1], "regression"),
        )
    ]
    assert len({weights(BoostedTrees(f)) for f in fitted}) == 3
    with pytest.raises(Incompatible, match="retrieval has none"):
        BoostedTrees.fit_to_target(Column(x), torch.arange(60), "retrieval")


def test_a_trial_grows_its_trees_on_training_rows_alone():
    plugins, bench = load_plugins(), Workbench(torch.device("cpu"))
    c = Component
    spec = TrialSpec(
        c("synergy", {"size": 300}),
        {"a": c("boosted-trees"), "b": c("vector")},
        c("concat"),
        c("linear"),
        train=TrainSpec(max_epochs=1),
    )
    trained = train_trial(spec, plugins, bench)
    train = bench.load(trained.resolved, "train")
    alone = BoostedTrees.fit_to_target(train.columns["a"], train.target, "classification")
    assert trained.model.encoders["a"].fitted == alone


def test_a_search_of_a_task_without_targets_grows_no_trees():
    plugins = load_plugins()
    for kind, there in (("regression", True), ("retrieval", False)):
        task = Task({"a": "tabular", "b": "tabular"}, kind, ("x",), "r2")
        dropped = {}
        names = _encoders_for("a", task, plugins, "cpu", [], dropped)
        assert ("boosted-trees" in names) == there
        assert ("fitted to numbers or classes" in dropped.get("boosted-trees", "")) == (not there)
