"""Decoders: token after token, told what is right in training and left to themselves after."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ways import Ways

from mmbench.contracts import Decoder
from mmbench.errors import Incompatible
from mmbench.exporting.graph import differs, traced
from mmbench.exporting.inputs import some_inputs
from mmbench.feature_cache import FeatureCache
from mmbench.heads.gru_decoder import GRUDecoder
from mmbench.heads.mlp import MLPHead
from mmbench.losses import supervised_loss
from mmbench.objectives.plain import PlainObjective
from mmbench.optimizer import AdamW
from mmbench.plugins import load_plugins
from mmbench.predicting import Predictor
from mmbench.resolve import resolve
from mmbench.saved import load_model, save_model
from mmbench.search.candidates import find_candidates
from mmbench.sequences import said
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.testing import head_contract
from mmbench.together import Wanted, train_together
from mmbench.together.groups import is_batched
from mmbench.trial import Trained, Workbench, train_trial

CPU = torch.device("cpu")


def gated(head, fused, target=None):
    """The decoder by torch's own unit, a row and a place at a time."""
    width = head.start.out_features
    unit = torch.nn.GRUCell(width + head.in_dim, width).double()
    with torch.no_grad():
        unit.weight_ih.copy_(torch.cat([head.word.weight, head.context.weight], dim=1))
        unit.bias_ih.copy_(head.context.bias)
        unit.weight_hh.copy_(head.state.weight)
        unit.bias_hh.copy_(head.state.bias)
    rows = []
    for row, z in enumerate(fused):
        h, word, scores = torch.tanh(head.start(z)), head.n_tokens, []
        for place in range(head.length):
            h = unit(torch.cat([head.words.weight[word], z])[None], h[None])[0]
            scores.append(head.out(h))
            word = int(scores[-1].argmax() if target is None else target[row, place])
        rows.append(torch.cat(scores))
    return torch.stack(rows)


TestGRUDecoder = head_contract(GRUDecoder, reference=gated)
TestGRUDecoderWithDropout = head_contract(GRUDecoder, dropout=0.5, width=16)


@pytest.fixture(scope="module")
def plugins():
    own = load_plugins.__wrapped__()
    own.datasets.add(Ways, "mmbench")
    return own


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Workbench(CPU, FeatureCache(tmp_path_factory.mktemp("features")))


def asked(fusion="concat", encoder="mlp", seed=0, objective="plain", dropout=0.0, epochs=16):
    return TrialSpec(
        Component("ways"),
        {"point": Component(encoder), "asked": Component(encoder)},
        Component(fusion),
        Component("gru-decoder", {"dropout": dropout, "width": 32}),
        Component(objective),
        TrainSpec(max_epochs=epochs, patience=epochs, batch_size=64, learning_rate=0.01),
        seed,
    )


def heard(spec, plugins, bench):
    """What the model's heads were told while it trained (True), and when it was judged."""
    told = {True: [], False: []}

    def watch(model, _requests):
        for head in (model.head, *model.unimodal_heads.values()):
            if head is not None:
                head.register_forward_hook(
                    lambda head, given, _out: told[head.training].append(given[1])
                )

    train_trial(spec, plugins, bench, on_built=watch)
    return told


@pytest.mark.parametrize("objective", ["plain", "joint", "modality-dropout"])
def test_every_paradigm_of_sequences_tells_what_is_right_in_training_alone(
    plugins, bench, objective
):
    told = heard(asked(objective=objective, epochs=1), plugins, bench)
    assert told[True] and all(target.shape[1] == 3 for target in told[True])
    assert told[False] and all(target is None for target in told[False])


def test_decisions_that_are_combined_are_made_untold(plugins, bench):
    told = heard(asked("late-average", epochs=1), plugins, bench)
    assert told[True] and all(target is None for target in told[True] + told[False])


def test_the_loss_is_that_of_each_token_after_the_right_ones(plugins, bench):
    model = train_trial(asked(epochs=1), plugins, bench).model.eval()
    batch = Ways().load("val").rows(torch.arange(16))
    loss = PlainObjective(Ways.task, {}, 1).loss(model, batch)
    fused = model.fuse(model.encode(batch), {}).vector
    scores = gated(model.head.double(), fused.double(), batch.target)
    expected = supervised_loss("sequence", scores, batch.target).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_tokens_fit_together_where_all_places_at_once_do_not():
    """Of 10 rows 4 say "1 1", 3 say "2 2", 3 say "2 3": the likeliest tokens are "2 1"."""
    target = torch.tensor([[1, 1]] * 4 + [[2, 2]] * 3 + [[2, 3]] * 3)
    fused, spoken = torch.ones(10, 1), {}
    for name, head in {"mlp": MLPHead(1, 8), "gru": GRUDecoder(1, 8, 2)}.items():
        torch.manual_seed(0)
        tell = partial(head, target=target) if isinstance(head, Decoder) else head
        optimizer = AdamW(head.parameters(), weight_decay=0.0)
        for _ in range(300):
            optimizer.zero_grad()
            supervised_loss("sequence", tell(fused), target).mean().backward()
            optimizer.step(0.01)
        spoken[name] = said(head.eval()(fused[:1]), 2).tolist()[0]
    assert spoken["mlp"] == [2, 1]
    assert spoken["gru"] in ([2, 2], [2, 3])


@pytest.mark.usefixtures("at_once")
def test_members_learn_together_what_each_learns_alone(plugins, bench):
    specs = [asked(seed=seed, dropout=p, epochs=3) for seed, p in enumerate((0.0, 0.2, 0.4))]
    assert all(is_batched(resolve(spec, plugins)) for spec in specs)
    ends = {}
    train_together([Wanted(s, partial(ends.setdefault, s.seed)) for s in specs], plugins, bench)
    for spec in specs:
        alone, together = train_trial(spec, plugins, bench), ends[spec.seed]
        assert isinstance(together, Trained)
        for ours, theirs in zip(together.fitted.curve, alone.fitted.curve, strict=True):
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
            assert ours["score"] == pytest.approx(theirs["score"], abs=0.02)


def test_pieces_of_a_batch_are_told_their_part(plugins, bench):
    spec = asked(encoder="vector", epochs=2)  # no dropout: a piece would draw other masks
    whole, small = (
        train_trial(spec, plugins, bench, on_built=lambda model, _, size=size: cut(model, size))
        for size in (None, 10)
    )
    assert small.model.micro_batch == 10
    for ours, theirs in zip(small.fitted.curve, whole.fitted.curve, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)


def cut(model, size):
    model.micro_batch = size


def test_a_sentence_survives_saving_and_tracing(plugins, bench, tmp_path):
    trained = train_trial(asked(), plugins, bench)
    assert trained.fitted.score > 0.8
    save_model(tmp_path, trained.resolved, trained.model, trained.requests)
    saved = load_model(tmp_path, plugins, CPU)
    answers = Predictor(saved).predict_all(
        [{"point": [-6.0, 6.0], "asked": [where]} for where in (-2.0, 2.0)]
    )
    assert [one.value for one in answers] == ["down", "down left"]
    program = traced(saved.model, some_inputs(saved))
    assert differs(saved.model, [some_inputs(saved)], program.module()) < 1e-4


def test_other_targets_have_no_decoder(plugins):
    found = find_candidates(Ways.task, plugins, "cpu")
    assert set(found.heads) == {"gru-decoder", "linear", "mlp"}
    classes = plugins.datasets["synergy"]().task
    assert set(find_candidates(classes, plugins, "cpu").heads) == {"linear", "mlp"}
    with pytest.raises(Incompatible, match="gru-decoder gives sequence; the task is class"):
        find_candidates(classes, plugins, "cpu", heads=["gru-decoder"])
    with pytest.raises(Incompatible, match="gru-decoder gives sequence; the task is class"):
        resolve(
            replace(
                asked(),
                task=Component("synergy"),
                encoders={"a": Component("mlp"), "b": Component("mlp")},
            ),
            plugins,
        )
