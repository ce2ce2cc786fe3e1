"""The search: legal candidates, proposals, and the five ways in which a trial may end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from optuna.trial import TrialState
from small_search import name_of

from mmbench.contracts import Capabilities, Fusion
from mmbench.datasets.synthetic import Synergy
from mmbench.errors import Incompatible, InvalidParameter, InvalidSpec, StorageError, UnknownName
from mmbench.features import FeatureCache
from mmbench.plugins import Plugins, load_plugins
from mmbench.resolve import resolve
from mmbench.search.attempt import Attempt, Pruned, Stopped
from mmbench.search.candidates import find_candidates
from mmbench.search.finals import _best_of_each, alone, chosen
from mmbench.search.handing_over import end, recover
from mmbench.search.lease import WORKER, worker_identity
from mmbench.search.propose import (
    as_proposal,
    default_proposals,
    default_spec,
    propose,
    reference_specs,
)
from mmbench.search.request import Candidates, SearchRequest, study_name
from mmbench.search.storage import open_storage
from mmbench.search.study import (
    FIXED_SPEC,
    RECORD,
    Attempted,
    Running,
    attempted,
    create_or_continue,
    first_trials,
    request_of,
    snapshot,
    state_of,
)
from mmbench.search.worker import Budget, Tally, work
from mmbench.seeds import fresh_seeds
from mmbench.spec import LEAST_STEPS, Component
from mmbench.trial import Workbench
from mmbench.types import Features, Task


@pytest.fixture
def plugins() -> Plugins:
    return load_plugins.__wrapped__()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(torch.device("cpu"), FeatureCache(tmp_path / "features"))


def request(plugins: Plugins, **changes: object) -> SearchRequest:
    fusions = changes.pop("fusions", ("concat", "product"))
    candidates = find_candidates(
        Synergy().task, plugins, "cpu", fusions=fusions, heads=["linear"], encoders=["mlp"]
    )
    asked = SearchRequest(
        Component("synergy", {"size": 200}), candidates, "cpu", train={"max_epochs": 2}
    )
    return replace(asked, **changes)


def study_of(asked: SearchRequest, plugins: Plugins, tmp_path: Path) -> optuna.Study:
    storage = open_storage(str(tmp_path / "study.journal"))
    return create_or_continue(name_of(asked, plugins), asked, storage, plugins)


def attempt_all(
    study: optuna.Study, asked: SearchRequest, plugins: Plugins, bench: Workbench, n: int
) -> list[str]:
    return [Attempt(study, study.ask(), asked, plugins, bench).run() for _ in range(n)]


# candidates


def test_misfits_are_dropped_before_sampling_with_their_reason(plugins: Plugins) -> None:
    found = find_candidates(Synergy().task, plugins, "cpu")
    assert "cross-attention" not in found.fusions
    assert "no candidate encoder emits a sequence" in found.dropped["cross-attention"]
    assert not {"only", "majority"} & set(found.fusions)


def test_a_fusion_that_cannot_say_what_it_reads_is_dropped(plugins: Plugins) -> None:
    def reads(cls: type, modalities: list[str]) -> list[str]:
        raise KeyError("text")

    plugins.fusions.add(type("F", (Faulty,), {"reads": classmethod(reads)}), "test")
    found = find_candidates(Synergy().task, plugins, "cpu", fusions=["faulty", "concat"])
    assert found.fusions == ["concat"] and "KeyError" in found.dropped["faulty"]


def test_a_fusion_that_reads_what_there_is_not_is_dropped(plugins: Plugins) -> None:
    def reads(cls: type, modalities: list[str]) -> list[str]:
        return ["a", "smell"]

    plugins.fusions.add(type("F", (Faulty,), {"reads": classmethod(reads)}), "test")
    found = find_candidates(Synergy().task, plugins, "cpu", fusions=["faulty", "concat"])
    assert found.fusions == ["concat"]
    assert found.dropped["faulty"] == "faulty reads 'smell'; the task has a, b"


def test_slow_encoders_are_tried_on_a_gpu_or_when_named(plugins: Plugins) -> None:
    task = Task({"image": "image"}, "classification", ("x", "y"), "accuracy")
    on_cpu = find_candidates(task, plugins, "cpu", fusions=["concat"])
    assert "resnet" not in on_cpu.encoders["image"] and "resnet" in on_cpu.dropped
    on_gpu = find_candidates(task, plugins, "cuda", fusions=["concat"])
    assert "resnet" in on_gpu.encoders["image"]
    named = find_candidates(task, plugins, "cpu", fusions=["concat"], encoders=["image=resnet"])
    assert named.encoders["image"] == ["resnet"]


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"fusions": ["prodct"]}, UnknownName, "Did you mean 'product'"),
        ({"fusions": ["majority"]}, InvalidParameter, "is a baseline"),
        ({"fusions": ["only-a"]}, InvalidParameter, "is a baseline"),
        ({"fusions": ["cross-attention"]}, Incompatible, "No fusion is left"),
        ({"encoders": ["c=mlp"]}, UnknownName, "no modality 'c'"),
        ({"encoders": ["a=cnn"]}, Incompatible, "reads image"),
        ({"encoders": ["cnn"]}, Incompatible, "no modality of the task is image"),
        ({"heads": ["liner"]}, UnknownName, "Did you mean 'linear'"),
    ],
)
def test_impossible_filters_are_named(
    plugins: Plugins, asked: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        find_candidates(Synergy().task, plugins, "cpu", **asked)


def test_a_modality_that_nothing_reads_is_named(plugins: Plugins) -> None:
    for name, cls in list(plugins.encoders.items()):
        if cls.accepts == "image":
            del plugins.encoders._classes[name]
    task = Task({"photo": "image"}, "classification", ("x", "y"), "accuracy")
    with pytest.raises(Incompatible, match="No encoder reads image, the kind of photo"):
        find_candidates(task, plugins, "cpu")


# proposals


def test_every_proposal_is_legal(plugins: Plugins) -> None:
    task = Component("synergy-tokens")
    candidates = find_candidates(resolve_task(task, plugins), plugins, "cpu")
    asked = SearchRequest(task, candidates, "cpu")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(60):
        spec = propose(study.ask(), asked, plugins)
        seen.add(spec.fusion.name)
        resolve(spec, plugins)
    assert seen == set(candidates.fusions)


@pytest.mark.parametrize(
    ("objective", "fusion", "encoders", "proposed"),
    [
        ("pmr", "concat", ("vector", "mlp"), "pmr"),
        ("pmr", "concat", ("vector", "vector"), "plain"),
        ("joint", "concat", ("vector", "vector"), "plain"),
        ("joint", "late-average", ("vector", "vector"), "joint"),
    ],
)
def test_a_paradigm_with_nothing_to_act_on_is_proposed_as_the_plain_one(
    plugins: Plugins, objective: str, fusion: str, encoders: tuple[str, str], proposed: str
) -> None:
    """Else a board would say that PMR won where nothing but the plain loss was trained."""
    task = Component("synergy")
    wanted = {"encoders": ["vector", "mlp"], "fusions": ["concat", "late-average"]}
    found = find_candidates(Synergy().task, plugins, "cpu", objectives=["pmr", "joint"], **wanted)
    asked = SearchRequest(task, found, "cpu")
    spec = default_spec(asked, plugins, Component(fusion))
    drawn = dict(zip("ab", map(Component, encoders), strict=True))
    spec = replace(spec, encoders=drawn, objective=Component(objective))
    trial = optuna.trial.FixedTrial(as_proposal(spec, asked, plugins))
    assert propose(trial, asked, plugins).objective.name == proposed


@pytest.mark.parametrize(
    ("objectives", "fusions", "default"),
    [
        (["pmr", "ogm-ge"], ["concat"], "pmr"),
        (["pmr", "plain"], ["concat"], "plain"),
        (["evidential", "joint"], ["concat"], "joint"),
    ],
)
def test_defaults_are_of_a_paradigm_that_was_asked_for(
    plugins: Plugins, objectives: list[str], fusions: list[str], default: str
) -> None:
    encoders, heads = {"a": ["mlp"], "b": ["mlp"]}, ["linear"]
    asked = SearchRequest(
        Component("synergy"), Candidates(encoders, fusions, heads, objectives), "cpu"
    )
    assert {p["objective"] for p in default_proposals(asked, plugins)} == {default}


def resolve_task(task: Component, plugins: Plugins) -> Task:
    return plugins.datasets[task.name]().task


def test_each_enqueued_default_is_proposed_as_it_was_meant(plugins: Plugins) -> None:
    asked = request(plugins, fusions=("product", "concat", "gated"))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    proposals = default_proposals(asked, plugins)
    for proposal in proposals:
        study.enqueue_trial(proposal)
    fusions = []
    for _ in proposals:
        spec = propose(study.ask(), asked, plugins)
        fusions.append(spec.fusion.name)
        meant = default_spec(asked, plugins, Component(spec.fusion.name))
        assert resolve(spec, plugins).spec == resolve(meant, plugins).spec
    assert fusions == ["concat", "product", "gated"]


@pytest.mark.parametrize("named", [{}, {"max_epochs": 2}])
def test_what_is_not_searched_is_alike_in_proposals_and_references(
    plugins: Plugins, named: dict[str, int]
) -> None:
    """Fusion and what it must beat train as long as each other."""
    asked = request(plugins, train=named)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    proposed = [propose(study.ask(), asked, plugins) for _ in range(5)]
    for spec in [*proposed, *reference_specs(asked, plugins)]:
        train = resolve(spec, plugins).spec.train
        assert (train.max_epochs, train.min_steps) == ((2, 0) if named else (10, LEAST_STEPS))


def test_the_first_trials_are_concat_of_hand_made_features(plugins: Plugins) -> None:
    task = Component("emoji")
    found = find_candidates(
        resolve_task(task, plugins), plugins, "cpu", fusions=["gated", "concat"]
    )
    queued = first_trials(SearchRequest(task, found, "cpu"), plugins, ())
    are_references = [FIXED_SPEC in attributes for _, attributes in queued]
    assert are_references == [False, False, *[True] * 7, False, False, False]
    proposals = [proposal for proposal, _ in queued if proposal]
    assert [p["fusion"] for p in proposals] == ["concat"] * 3 + ["gated"] * 2
    encoders = [(p["encoder.image"], p["encoder.name"]) for p in proposals]
    made = [("hog", "tfidf"), ("regions", "hashed-ngrams")]
    trained = ("cnn", "bag-of-words")
    assert encoders == [*made, trained, made[0], trained]


def test_the_dear_defaults_come_last(plugins: Plugins) -> None:
    task = Component("synergy-tokens")
    found = find_candidates(
        resolve_task(task, plugins), plugins, "cpu",
        fusions=["cross-attention", "product", "mult", "concat"],
    )  # fmt: skip
    proposals = default_proposals(SearchRequest(task, found, "cpu"), plugins)
    order = list(dict.fromkeys(p["fusion"] for p in proposals))
    assert order == ["concat", "product", "mult", "cross-attention"]


def test_a_fusion_of_tokens_without_an_encoder_of_tokens_is_refused_in_words(
    plugins: Plugins,
) -> None:
    spec = default_spec(request(plugins), plugins, Component("mult"))
    with pytest.raises(Incompatible, match=r"mult attends over tokens, but encoder mlp.*for a"):
        resolve(spec, plugins)


def test_references_are_majority_and_each_modality(plugins: Plugins) -> None:
    labels = [s.fusion_label for s in reference_specs(request(plugins), plugins)]
    assert labels == ["majority", "only-a", "only-b"]
    task = Component("emoji")
    found = find_candidates(resolve_task(task, plugins), plugins, "cpu")
    alone = reference_specs(SearchRequest(task, found, "cpu"), plugins)
    assert [(s.fusion_label, *(e.name for e in s.encoders.values())) for s in alone] == [
        ("majority",), ("only-image", "hog"), ("only-name", "tfidf"),
        ("only-image", "regions"), ("only-name", "hashed-ngrams"),
        ("only-image", "cnn"), ("only-name", "bag-of-words"),
    ]  # fmt: skip


# the study


def test_the_same_request_is_the_same_study_and_another_is_not(plugins: Plugins) -> None:
    asked = request(plugins)
    again = SearchRequest.from_dict(json.loads(json.dumps(asked.to_dict())))
    name = study_name(asked, "1", plugins)
    assert study_name(again, "1", plugins) == name
    others = [
        study_name(replace(asked, seed=1), "1", plugins),
        study_name(replace(asked, max_latency_ms=3.0), "1", plugins),
        study_name(asked, "2", plugins),
        study_name(request(plugins, fusions=("concat",)), "1", plugins),
    ]
    assert len({name, *others}) == 5


def test_a_study_is_created_once_and_continued(plugins: Plugins, tmp_path: Path) -> None:
    study = study_of(request(plugins), plugins, tmp_path)
    waiting = len(study.trials)
    assert waiting == 3 + 2  # references, then a default per fusion
    again = study_of(request(plugins), plugins, tmp_path)
    assert len(again.trials) == waiting
    assert request_of(again).to_dict() == json.loads(json.dumps(request(plugins).to_dict()))


def test_a_foreign_study_and_a_bad_storage_are_named(tmp_path: Path) -> None:
    foreign = optuna.create_study(storage=open_storage(str(tmp_path / "x.journal")))
    with pytest.raises(InvalidSpec, match="not made by mmbench"):
        request_of(foreign)
    with pytest.raises(StorageError, match="can take turns; not in nosuchdb://x"):
        open_storage("nosuchdb://x")


# how trials end


def test_trials_finish_and_are_recorded(plugins: Plugins, bench: Workbench, tmp_path: Path) -> None:
    asked = request(plugins)
    study = study_of(asked, plugins, tmp_path)
    assert attempt_all(study, asked, plugins, bench, 5) == ["finished"] * 5
    done = attempted(study)
    assert [a.reference for a in done] == [True, True, True, False, False]
    for attempt in done:
        assert len(attempt.record["curve"]) <= 2 and attempt.record["seconds"] > 0
        assert attempt.spec is not None and attempt.score == attempt.record["value"]
    now = snapshot(study)
    assert now.done == 5 and now.best is not None and now.best.score == max(a.score for a in done)


def test_a_snapshot_shows_what_runs_and_how_far_it_is(plugins: Plugins, tmp_path: Path) -> None:
    asked = request(plugins)
    study = study_of(asked, plugins, tmp_path)
    ended(study, asked, plugins, 0.9, 0.1)
    running = Attempt(study, study.ask(), asked, plugins, None)  # type: ignore[arg-type]
    study.ask()  # taken, and not yet proposed
    running.propose()
    label = "a:mlp → only-a → linear"
    assert snapshot(study).running == [Running(1, label, None, None)]
    for epoch, score in enumerate((0.5, 0.25)):
        running.trial.report(score, epoch)
    now = snapshot(study)
    assert now.running == [Running(1, label, 1, 0.25)]
    assert (now.waiting, now.done) == (2, 1)


def test_what_is_no_number_is_recorded_as_none(plugins: Plugins, tmp_path: Path) -> None:
    asked = request(plugins)
    study = study_of(asked, plugins, tmp_path)
    attempt = Attempt(study, study.ask(), asked, plugins, None)  # type: ignore[arg-type]
    attempt.propose()
    attempt.record["curve"] = [{"epoch": 0, "score": 0.5, "auroc": float("nan")}]
    attempt.record["latency_ms"] = float("inf")
    attempt.end(Pruned())
    (done,) = attempted(study)
    assert done.record["curve"] == [{"epoch": 0, "score": 0.5, "auroc": None}]
    assert done.record["latency_ms"] is None and done.record["seconds"] > 0


class Faulty(Fusion):
    name = "faulty"
    capabilities = Capabilities()
    error: Exception = RuntimeError("wires crossed")

    def __init__(self, dims) -> None:
        super().__init__(dims)
        self.out_dim = dims["a"]

    def forward(self, features: Features) -> torch.Tensor:
        if self.training:
            raise self.error
        return features["a"].pooled


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("wires crossed"),
        torch.OutOfMemoryError("no room"),
        MemoryError("none left"),
        optuna.TrialPruned("a failure in disguise"),
    ],
)
def test_a_trial_that_raises_has_failed_with_its_traceback_and_the_search_goes_on(
    plugins: Plugins, bench: Workbench, tmp_path: Path, error: Exception
) -> None:
    plugins.fusions.add(type("F", (Faulty,), {"error": error}), "test")
    asked = request(plugins, fusions=("faulty", "concat"))
    study = study_of(asked, plugins, tmp_path)
    ends = attempt_all(study, asked, plugins, bench, 5)
    assert sorted(ends) == ["failed"] + ["finished"] * 4
    (failed,) = [a for a in attempted(study) if a.state == "failed"]
    assert "in forward" in failed.record["error"] and str(error) in failed.record["reason"]
    assert study.trials[failed.number].state == TrialState.FAIL
    assert "faulty" not in {s.fusion.name for s in chosen(study, asked, 3, plugins)}


def test_nan_is_a_failure_not_a_score(plugins: Plugins, bench: Workbench, tmp_path: Path) -> None:
    class Nan(Faulty):
        name = "nan"

        def forward(self, features: Features) -> torch.Tensor:
            return features["a"].pooled * float("nan")

    plugins.fusions.add(Nan, "test")
    asked = request(plugins, fusions=("nan",))
    study = study_of(asked, plugins, tmp_path)
    ends = attempt_all(study, asked, plugins, bench, 4)
    assert ends[-1] == "failed"
    assert "TrainingDiverged" in attempted(study)[-1].record["reason"]


def test_a_worse_trial_is_pruned_but_never_a_reference(
    plugins: Plugins, bench: Workbench, tmp_path: Path
) -> None:
    asked = request(plugins)
    study = study_of(asked, plugins, tmp_path)
    study.pruner = optuna.pruners.ThresholdPruner(lower=1.5)  # nothing is that good
    ends = attempt_all(study, asked, plugins, bench, 5)
    assert ends == ["finished"] * 3 + ["pruned"] * 2
    assert study.trials[3].state == TrialState.PRUNED
    assert attempted(study)[3].record["curve"]


def test_limits_are_looked_at_before_training(
    plugins: Plugins, bench: Workbench, tmp_path: Path
) -> None:
    asked = request(plugins, max_latency_ms=1e-6)
    study = study_of(asked, plugins, tmp_path)
    ends = attempt_all(study, asked, plugins, bench, 5)
    assert ends == ["finished"] * 3 + ["violated"] * 2
    record = attempted(study)[-1].record
    assert record["curve"] == [] and record["violated"]["latency_ms"]["limit"] == 1e-6
    assert max(study.trials[-1].constraints.values()) > 0


def test_a_modality_alone_goes_on_with_its_best_encoder_by_validation(plugins: Plugins) -> None:
    task = Component("emoji")
    found = find_candidates(resolve_task(task, plugins), plugins, "cpu")
    specs = reference_specs(SearchRequest(task, found, "cpu"), plugins)
    # majority; hog, tfidf; regions, hashed-ngrams; cnn, bag-of-words
    scores = (0.2, 0.6, 0.5, 0.3, 0.1, 0.4, 0.7)
    tried = [
        Attempted(i, "finished", spec, {"utility": score}, reference=True)
        for i, (spec, score) in enumerate(zip(specs, scores, strict=True))
    ]
    names = [[e.name for e in s.encoders.values()] for s in _best_of_each(tried)]
    assert names == [["bag-of-words"], ["hog"], []]


def test_a_modality_alone_is_also_read_as_the_winner_reads_it(plugins: Plugins) -> None:
    task = Component("emoji")
    found = find_candidates(resolve_task(task, plugins), plugins, "cpu")
    asked = SearchRequest(task, found, "cpu")
    spec = replace(
        default_spec(asked, plugins),
        encoders={"image": Component("hog"), "name": Component("gru", {"width": 32})},
        head=Component("linear"),
        objective=Component("gradient-blend"),
        train=replace(default_spec(asked, plugins).train, weight_decay=0.02),
    )
    winner = resolve(spec, plugins).spec
    image, name = alone(winner, asked, plugins)
    assert image.fusion.params == {"modality": "image"}
    assert image.encoders == {"image": winner.encoders["image"]}
    assert name.encoders == {"name": winner.encoders["name"]}
    for single in (image, name):
        assert (single.head, single.train) == (winner.head, winner.train)
        assert single.objective.name == "plain"
        assert resolve(single, plugins).spec.family == single.family
    pairs = Component("emoji-retrieval")
    found = find_candidates(resolve_task(pairs, plugins), plugins, "cpu")
    asked = SearchRequest(pairs, found, "cpu")
    assert alone(resolve(default_spec(asked, plugins), plugins).spec, asked, plugins) == []


def test_two_objectives_give_a_front(plugins: Plugins, bench: Workbench, tmp_path: Path) -> None:
    asked = request(plugins, pareto=True)
    study = study_of(asked, plugins, tmp_path)
    assert attempt_all(study, asked, plugins, bench, 5) == ["finished"] * 5
    assert all(len(t.values) == 2 and t.values[1] > 0 for t in study.trials)
    assert {s.fusion.name for s in chosen(study, asked, 5, plugins)} & {"concat", "product"}


def ended(
    study: optuna.Study, asked: SearchRequest, plugins: Plugins, utility: float, latency: float
) -> Attempt:
    """The next trial, as if it had come to that."""
    attempt = Attempt(study, study.ask(), asked, plugins, None)  # type: ignore[arg-type]
    attempt.propose()
    record = {"state": "finished", "value": utility, "utility": utility, "latency_ms": latency}
    attempt.trial.set_user_attr(RECORD, record)
    end(study, attempt.trial.number, record)
    return attempt


def test_the_front_is_of_fusions_and_the_best_concat_need_not_be_on_it(
    plugins: Plugins, tmp_path: Path
) -> None:
    asked = request(plugins, pareto=True)
    study = study_of(asked, plugins, tmp_path)
    for proposal in default_proposals(asked, plugins):  # each a second time, tuned
        study.enqueue_trial({**proposal, "train.learning_rate": 0.005})
    for _ in range(3):  # as good as any fusion, and faster
        ended(study, asked, plugins, 0.9, 0.05)
    assert ended(study, asked, plugins, 0.6, 0.2).resolved.spec.fusion.name == "concat"
    fast = ended(study, asked, plugins, 0.7, 0.1).resolved.spec
    concat = ended(study, asked, plugins, 0.75, 0.3).resolved.spec
    good = ended(study, asked, plugins, 0.8, 0.2).resolved.spec
    worse = ended(study, asked, plugins, 0.65, 0.1).resolved.spec  # no faster than a better one
    assert worse.family not in {s.family for s in chosen(study, asked, 9, plugins)}
    assert chosen(study, asked, 3, plugins)[:2] == [good, fast]
    assert [s for s in chosen(study, asked, 3, plugins) if s.fusion.name == "concat"] == [concat]


def stop() -> None:
    raise Stopped


def test_an_interrupted_trial_is_given_back(
    plugins: Plugins, bench: Workbench, tmp_path: Path
) -> None:
    asked = request(plugins)
    study = study_of(asked, plugins, tmp_path)
    for _ in range(3):
        Attempt(study, study.ask(), asked, plugins, bench).run()
    stopping = Workbench(bench.device, between_steps=stop)
    assert Attempt(study, study.ask(), asked, plugins, stopping).run() == "interrupted"
    assert snapshot(study).done == 3
    assert attempt_all(study, asked, plugins, bench, 2) == ["finished"] * 2
    fusions = [a.spec.fusion.name for a in attempted(study) if a.state == "finished" and a.spec]
    assert fusions[3:] == ["product", "concat"]  # what was interrupted went to the end


def test_the_trial_of_a_dead_worker_is_taken_up_again(plugins: Plugins, tmp_path: Path) -> None:
    study = study_of(request(plugins), plugins, tmp_path)
    alive, dead = study.ask(), study.ask()
    alive.set_user_attr(WORKER, worker_identity())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead.set_user_attr(WORKER, {**worker_identity(), "pid": gone.pid})
    assert recover(study) == 1
    assert state_of(study.trials[dead.number]) == "interrupted"
    assert state_of(study.trials[alive.number]) is None
    requeued = [t for t in study.trials if t.state == TrialState.WAITING][-1]
    assert requeued.user_attrs[FIXED_SPEC] == study.trials[dead.number].user_attrs[FIXED_SPEC]


def test_a_trial_that_kills_its_worker_twice_has_failed(plugins: Plugins, tmp_path: Path) -> None:
    study = study_of(request(plugins), plugins, tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    waiting = len(study.trials)
    for _ in range(waiting + 1):  # the first comes back after all the others
        study.ask().set_user_attr(WORKER, {**worker_identity(), "pid": gone.pid})
        recover(study)
    (failed,) = [a for a in attempted(study) if a.state == "failed"]
    assert "died twice" in failed.record["error"]
    assert sum(t.state == TrialState.WAITING for t in study.trials) == waiting - 1


# workers


def test_a_worker_keeps_to_the_budget_of_trials(plugins: Plugins, tmp_path: Path) -> None:
    url = str(tmp_path / "study.journal")
    name = study_of(request(plugins), plugins, tmp_path).study_name
    assert sum(work(name, url, Budget(trials=4), plugins).values()) == 4
    assert sum(work(name, url, Budget(trials=4), plugins).values()) == 0
    assert sum(work(name, url, Budget(trials=6), plugins).values()) == 2


def without_product(plugins: Plugins) -> None:
    del plugins.fusions._classes["product"]


def another_product(plugins: Plugins) -> None:
    without_product(plugins)
    plugins.fusions.add(type("Product", (Faulty,), {"name": "product"}), "mmbench")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_product, "no fusion named 'product'.*--plugin FILE"),
        (another_product, "made with other versions of .*here: mmbench [0-9.]+. Install those"),
    ],
)
def test_a_worker_takes_no_trial_where_other_things_are_installed(
    plugins: Plugins, tmp_path: Path, change: Callable[[Plugins], None], said: str
) -> None:
    study = study_of(request(plugins), plugins, tmp_path)
    change(plugins)
    with pytest.raises(InvalidSpec, match=f"{study.study_name} .*{said}"):
        work(study.study_name, str(tmp_path / "study.journal"), Budget(trials=4), plugins)
    assert {t.state for t in study.trials} == {TrialState.WAITING}


def test_a_worker_stops_when_time_is_up(plugins: Plugins, tmp_path: Path) -> None:
    name = study_of(request(plugins), plugins, tmp_path).study_name
    url = str(tmp_path / "study.journal")
    assert not work(name, url, Budget(deadline=time.time() - 1), plugins)


def test_a_killed_worker_loses_no_finished_trial(plugins: Plugins, tmp_path: Path) -> None:
    study = study_of(
        request(plugins, train={"max_epochs": 400, "patience": 400}), plugins, tmp_path
    )
    url = str(tmp_path / "study.journal")
    process = subprocess.Popen(
        [sys.executable, "-m", "mmbench", "worker", "--study", study.study_name, "--storage", url],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            running = [t for t in study.get_trials(deepcopy=False) if t.intermediate_values]
            if running:
                break
            time.sleep(0.1)
        assert running, "the worker has not started a trial"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = len(attempted(study))
    assert recover(study) == 1
    assert len([a for a in attempted(study) if a.state != "interrupted"]) == done


def test_fresh_seeds_are_not_the_searchs() -> None:
    empty = Candidates({}, (), (), ())
    asked = SearchRequest(Component("x"), empty, "cpu", seed=2)
    assert fresh_seeds(3, asked.seed) == [3000, 3001, 3002]


# How much of a budget is spent ---------------------------------------------------------------


def test_a_tally_counts_what_ended_in_any_order_and_reads_it_once() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    tally = Tally(study)
    first, second, third = (study.ask() for _ in range(3))
    assert tally.count() == (0, 3)
    second.set_user_attr(RECORD, {"state": "finished"})
    study.tell(second, 0.5)
    assert tally.count() == (1, 2)
    assert tally.read == 0, "the first still runs"
    study.tell(first, state=TrialState.FAIL)  # without a record: interrupted, so given back
    assert tally.count() == (1, 1)
    assert tally.read == 2
    third.set_user_attr(RECORD, {"state": "failed"})
    study.tell(third, state=TrialState.FAIL)
    assert [tally.count(), tally.count()] == [(2, 0), (2, 0)]
    assert tally.ends == {"finished": 1, "interrupted": 1, "failed": 1}
