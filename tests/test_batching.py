"""Batches: in order, ahead of time where they are slow, without Python for each row or a sync."""

import threading
from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmbench.batching import at_hand, batches, epoch_order, groups_of
from mmbench.model import build_model, build_objective
from mmbench.plugins import load_plugins
from mmbench.prefetch import ahead
from mmbench.resolve import resolve
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.training import Trainer
from mmbench.trial import fit_encoders, main_metric
from mmbench.types import MISSING, Column, Encoded, Split

CPU = torch.device("cpu")


class Slow:
    """Values that note which thread decodes them."""

    def __init__(self, values: Tensor) -> None:
        self.values, self.threads, self.calls = values, set(), 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Tensor) -> Tensor:
        self.threads.add(threading.current_thread().name)
        self.calls += 1
        if bool((index == 13).any()) and len(self.values) == 14:
            raise OSError("file 13 is gone")
        return self.values[index]


def split_of(values: object, n: int = 40) -> Split:
    index = torch.randint(-1, 10, (n,), generator=torch.Generator().manual_seed(0))
    return Split({"a": Column(values), "b": Column(torch.randn(10, 3), index)}, torch.arange(n))


def test_lazy_values_come_in_the_same_order_from_a_thread_of_their_own() -> None:
    values = torch.randn(40, 2)
    lazy, order = Slow(values), epoch_order(40, None, torch.Generator().manual_seed(1))
    plain = list(batches(split_of(values), order, 7, CPU))
    fetched = list(batches(split_of(lazy), order, 7, CPU))
    assert lazy.threads == {"prefetch_0"} and lazy.calls == len(fetched) == 6
    for a, b in zip(plain, fetched, strict=True):
        assert torch.equal(a.target, b.target) and torch.equal(a.ids, b.ids)
        assert torch.equal(a.columns["a"].values, b.columns["a"].values)


def test_no_more_than_a_few_batches_wait() -> None:
    lazy = Slow(torch.randn(40, 2))
    feed = batches(split_of(lazy), torch.arange(40), 2, CPU)
    next(feed)
    feed.close()
    assert lazy.calls <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_an_error_is_raised_where_its_batch_would_have_come() -> None:
    feed = batches(split_of(Slow(torch.randn(14, 2)), 14), torch.arange(14), 5, CPU)
    next(feed), next(feed)
    with pytest.raises(OSError, match="13"):
        next(feed)


def test_fetching_goes_on_while_the_last_batch_is_used() -> None:
    fetched = threading.Event()
    feed = ahead(lambda i: fetched.set() if i == 1 else None, range(2), depth=1)
    next(feed)
    assert fetched.wait(5), "the second is fetched only when it is asked for"
    feed.close()


def test_what_is_in_memory_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    features = Encoded.vector(torch.randn(40, 2))
    assert at_hand(split_of(features), CPU) and at_hand(split_of(torch.randn(40, 2)), CPU)
    assert not at_hand(split_of(Slow(torch.randn(40, 2))), CPU)
    scarce = type("Memory", (), {"available": 100})
    monkeypatch.setattr("mmbench.batching.psutil.virtual_memory", lambda: scarce)
    assert not at_hand(split_of(features), CPU), "mapped features larger than memory are fetched"


def test_a_shared_value_is_encoded_once_in_a_batch() -> None:
    seen = []

    class Counts(nn.Module):
        frozen = False

        def forward(self, inputs: Tensor) -> Encoded:
            seen.append(len(inputs))
            return Encoded.vector(inputs)

    from mmbench.model import FusionModel

    model = FusionModel({"b": Counts()}, nn.Identity(), None, {})
    split = split_of(torch.randn(40, 2))
    for batch in batches(split, torch.arange(40), 20, CPU):
        features = model.encode(batch)["b"]
        distinct = split.columns["b"].index[batch.ids].unique()
        assert seen[-1] == int((distinct != MISSING).sum()) < len(batch) == len(features)


def test_rows_without_a_value_lie_among_the_others() -> None:
    """As one group they would fill whole batches, and others would have none of them."""
    index = torch.arange(400) // 2
    index[::5] = MISSING
    column = Column(torch.randn(200, 3), index)
    groups = groups_of(Split({"a": column, "b": Column(torch.randn(400, 2))}, torch.arange(400)))
    assert groups is not None
    order = epoch_order(400, groups, torch.Generator().manual_seed(0))
    gaps = (index[order] == MISSING).view(-1, 50).sum(1)
    assert gaps.min() > 2 and gaps.max() < 20, "ten of fifty"
    there = index[order][index[order] != MISSING]
    assert len(there.unique_consecutive()) == len(there.unique()), "shared values are side by side"
    unshared = torch.full((400,), MISSING)
    unshared[index != MISSING] = torch.arange(320)
    column = Column(torch.randn(320, 3), unshared)
    assert groups_of(Split({"a": column}, torch.arange(400))) is None


def test_what_is_on_a_device_already_is_not_pinned() -> None:
    lazy = Slow(torch.arange(8.0))
    elsewhere = Split({"a": Column(lazy)}, torch.zeros(8, device="meta"))
    assert elsewhere.pinned().target.device.type == "meta"


class Reads(TorchDispatchMode):
    """Counts the operations that make the host wait for a device."""

    WAIT = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket._qualified_op_name.removeprefix("aten::")
        if name in self.WAIT:
            self.counts[name] += 1
        return func(*args, **kwargs or {})


def reads_of_an_epoch(objective: str, fusion: str, rows: int) -> Counter[str]:
    plugins = load_plugins()
    component = Component("mlp")
    spec = TrialSpec(
        Component("synergy", {"size": 900}), {"a": component, "b": component},
        Component(fusion), Component("linear"), Component(objective), TrainSpec(batch_size=64),
    )  # fmt: skip
    resolved = resolve(spec, plugins)
    train = resolved.dataset.load("train")
    assert len(train) >= rows
    model = build_model(resolved, fit_encoders(resolved, train))
    objective_ = build_objective(resolved, model)
    trainer = Trainer(resolved.spec.train, objective_, main_metric(resolved, plugins), 0, CPU)
    optimizer = trainer.optimizer(model, objective_)
    with Reads() as reads:
        trainer.train_epoch(model, train, torch.arange(rows), optimizer, 0, 10)
    return reads.counts


@pytest.mark.parametrize("objective", ["plain", "ogm-ge", "modality-dropout"])
@pytest.mark.parametrize("fusion", ["concat", "product", "gated"])
def test_no_step_reads_a_value_back(objective: str, fusion: str) -> None:
    few, many = (reads_of_an_epoch(objective, fusion, rows) for rows in (128, 512))
    assert few == many == Counter(_local_scalar_dense=1), "the mean loss, once an epoch"
