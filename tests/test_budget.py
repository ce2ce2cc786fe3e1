"""The budget is spent well: limits first, cheap first, pruning that is fed, an earlier start."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import torch
from torch import Tensor

from mmbench.campaign.earlier import earlier_studies
from mmbench.campaign.job import Campaign
from mmbench.campaign.places import Crew, Places
from mmbench.campaign.searching import _check, _tell_of_deaths, _watch
from mmbench.contracts import Capabilities, Fusion
from mmbench.datasets.synthetic import Synergy
from mmbench.errors import SearchFailed
from mmbench.feature_cache import FeatureCache
from mmbench.plugins import Plugins, load_plugins
from mmbench.search.attempt import Attempt, Stopped
from mmbench.search.candidates import find_candidates
from mmbench.search.handing_over import recover
from mmbench.search.pool import MAX_RESTARTS, Pool
from mmbench.search.propose import default_proposals, propose
from mmbench.search.request import SearchRequest, study_name
from mmbench.search.storage import open_storage
from mmbench.search.study import attempted, create_or_continue
from mmbench.search.warm_start import warmed
from mmbench.search.window import BEST, LATEST, WindowedPruner, WindowedTPE, window_of
from mmbench.search.worker import Budget, _pruner
from mmbench.spec import Component
from mmbench.trial import Workbench
from mmbench.types import Features, Part, Split


@pytest.fixture
def plugins() -> Plugins:
    return load_plugins.__wrapped__()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(torch.device("cpu"), FeatureCache(tmp_path_factory.mktemp("features")))


def request(plugins: Plugins, task: str = "synergy", **changes: object) -> SearchRequest:
    fusions = changes.pop("fusions", ("concat", "product"))
    dataset = plugins.datasets[task]()
    candidates = find_candidates(
        dataset.task, plugins, "cpu", fusions=fusions, heads=["linear"], encoders=["mlp"]
    )
    asked = SearchRequest(
        Component(task, {"size": 200}), candidates, "cpu", train={"max_epochs": 2}
    )
    return replace(asked, **changes)


def study_of(asked: SearchRequest, plugins: Plugins, path: Path, name: str = "s") -> optuna.Study:
    study = create_or_continue(name, asked, open_storage(str(path)), plugins)
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    return study


def attempt_all(
    study: optuna.Study, asked: SearchRequest, plugins: Plugins, bench: Workbench, n: int
) -> list[str]:
    return [Attempt(study, study.ask(), asked, plugins, bench).run() for _ in range(n)]


def refused(study: optuna.Study, trials: int | None = None, deadline: float | None = None) -> str:
    """Why nothing can be evaluated after so much of a search."""
    campaign = SimpleNamespace(name="s", budget=Budget(trials, deadline))
    pool = SimpleNamespace(died=[], logs="logs", last_words=lambda: "the end of a log")
    with pytest.raises(SearchFailed) as error:
        _check(study, pool, campaign)  # type: ignore[arg-type]
    return str(error.value)


def stop() -> None:
    raise Stopped


def test_a_budget_for_references_alone_says_how_much_is_needed(
    plugins: Plugins, bench: Workbench, tmp_path: Path
) -> None:
    asked = request(plugins)
    study = study_of(asked, plugins, tmp_path / "s")
    assert "time was up before the first trial" in refused(study, deadline=0.0)
    attempt_all(study, asked, plugins, bench, 3)
    assert "were the references" in (said := refused(study, trials=3)) and "--trials 4" in said
    assert "the end of a log" in refused(study, trials=8), "workers died: it was not the budget"


@pytest.mark.parametrize(("references", "said"), [(0, "trial of s had"), (3, "the 3 references")])
def test_a_time_that_ended_in_the_first_trial_is_said_so(
    plugins: Plugins, bench: Workbench, tmp_path: Path, references: int, said: str
) -> None:
    asked = request(plugins)
    study = study_of(asked, plugins, tmp_path / "s")
    attempt_all(study, asked, plugins, bench, references)
    stopping = Workbench(bench.device, between_steps=stop)
    assert attempt_all(study, asked, plugins, stopping, 1) == ["interrupted"]
    assert said in (found := refused(study, deadline=0.0)) and "time was up" in found


class Mortal(Pool):
    """Its workers die at once."""

    def _start(self, number: int) -> None:
        self.processes[number] = SimpleNamespace(poll=lambda: -9)  # type: ignore[assignment]


def test_workers_that_die_are_followed_by_others_as_long_as_that_leads_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty that each leave a trial done, then others that do not; the user hears of it."""
    pool, notes, study = Mortal([], 1, 1, tmp_path).start(), list[str](), optuna.create_study()
    listener = SimpleNamespace(searching=lambda *_: None, note=notes.append)
    campaign = SimpleNamespace(budget=Budget(trials=500), listener=listener)
    searching = "mmbench.campaign.searching"
    monkeypatch.setattr(f"{searching}.POLL_SECONDS", 0)
    monkeypatch.setattr(
        f"{searching}.snapshot", lambda _: SimpleNamespace(done=min(20, len(pool.died)))
    )
    _watch(campaign, pool, study, SimpleNamespace())  # type: ignore[arg-type]
    assert len(pool.died) == 20 + MAX_RESTARTS + 1
    _tell_of_deaths(study, pool, campaign)  # type: ignore[arg-type]
    assert "29 workers died" in notes[0] and "20 trials are done" in notes[0]


# limits


@pytest.mark.parametrize(
    ("option", "cost"),
    [
        ("max_latency_ms", "latency_ms"),
        ("max_memory_mib", "memory_mib"),
        ("max_parameters", "parameters"),
    ],
)
def test_each_limit_is_looked_at_before_anything_is_trained(
    plugins: Plugins, bench: Workbench, tmp_path: Path, option: str, cost: str
) -> None:
    asked = request(plugins, fusions=("concat",), **{option: 1e-9})
    study = study_of(asked, plugins, tmp_path / "j")
    assert attempt_all(study, asked, plugins, bench, 4) == ["finished"] * 3 + ["violated"]
    record = attempted(study)[-1].record
    assert record["curve"] == [] and list(record["violated"]) == [cost]
    assert max(study.trials[-1].constraints.values()) > 0
    said = refused(study, trials=4)
    measured = f"{cost} {record['violated'][cost]['measured']:g}, where 1e-09 is allowed"
    assert said == (
        f"None of 1 configurations keeps the limits you set; the first has {measured}. "
        f"Relax --{option.replace('_', '-')}."
    )


def test_what_exceeds_a_limit_counts_as_that_though_its_worker_died_at_the_end(
    plugins: Plugins, bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(plugins, fusions=("concat",), max_parameters=1)
    study = study_of(asked, plugins, tmp_path / "j")
    attempt_all(study, asked, plugins, bench, 3)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("mmbench.search.attempt.end", die)
        attempt_all(study, asked, plugins, bench, 1)
    assert recover(study) == 1 and attempted(study)[-1].state == "violated"
    assert study.trials[-1].constraints["parameters"] > 0


def test_what_keeps_to_its_limits_is_trained(
    plugins: Plugins, bench: Workbench, tmp_path: Path
) -> None:
    asked = request(
        plugins, fusions=("concat",), max_latency_ms=1e6, max_memory_mib=1e6, max_parameters=10**9
    )
    study = study_of(asked, plugins, tmp_path / "j")
    assert attempt_all(study, asked, plugins, bench, 4) == ["finished"] * 4
    constraints = study.trials[-1].constraints
    assert len(constraints) == 3 and max(constraints.values()) < 0


# pruning


class Blind(Fusion):
    """Sees nothing: always at chance."""

    name = "blind"
    capabilities = Capabilities(min_modalities=2)

    def __init__(self, dims) -> None:
        super().__init__(dims)
        self.out_dim = 2

    def forward(self, features: Features) -> Tensor:
        return features["a"].pooled[:, :2] * 0


def test_the_pruner_gets_every_epoch_and_ends_a_hopeless_trial(
    plugins: Plugins, tmp_path: Path
) -> None:
    """With the search's own pruner, after as many trials as it waits for."""

    class Easy(Synergy):
        """The class is the sign of the first number."""

        name = "easy"

        def load(self, part: Part) -> Split:
            split = super().load(part)
            target = (split.columns["a"].values[:, 0] > 0).long()
            return replace(split, target=target)

    plugins.datasets.add(Easy, "test")
    plugins.fusions.add(Blind, "test")
    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path / "features"))
    train = {"max_epochs": 6, "patience": 6, "learning_rate": 1e-2, "batch_size": 64}
    asked = request(plugins, "easy", fusions=("concat", "blind"), train=train)
    study = study_of(asked, plugins, tmp_path / "j")
    study.pruner = _pruner(asked)
    for _ in range(5):  # more than half of all must be better than chance
        study.enqueue_trial({"fusion": "concat"})
    waiting = [t.params for t in study.trials]
    assert waiting
    ends = attempt_all(study, asked, plugins, bench, len(study.trials))
    blind = [a for a in attempted(study) if a.spec and a.spec.fusion.name == "blind"]
    assert ends.count("finished") >= 6
    study.enqueue_trial({"fusion": "blind"})
    attempt_all(study, asked, plugins, bench, 1)
    hopeless = attempted(study)[-1]
    assert hopeless.state == "pruned" and hopeless.spec.fusion.name == "blind" and blind
    assert 2 <= len(hopeless.record["curve"]) < 6, "after the warm-up, before the end"
    for trial, attempt in zip(study.trials, attempted(study), strict=True):
        curve = attempt.record["curve"]
        assert [trial.intermediate_values[c["epoch"]] for c in curve] == [c["score"] for c in curve]


# order


def test_the_first_trials_are_the_cheap_ones(plugins: Plugins) -> None:
    fusions = ("mlp-mixer", "bilinear", "product", "concat", "gated", "lowrank", "average")
    known = [name for name in fusions if name in plugins.fusions]
    proposals = default_proposals(request(plugins, fusions=known), plugins)
    order = [p["fusion"] for p in proposals]
    assert order[0] == "concat" and sorted(order) == sorted(known)
    sizes = []
    for name in order[1:]:
        fusion = plugins.fusions[name]({"a": 64, "b": 64})
        sizes.append(sum(p.numel() for p in fusion.parameters()))
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_a_fusion_that_cannot_be_built_comes_last_and_does_not_stop_the_search(
    plugins: Plugins,
) -> None:
    class Broken(Blind):
        name = "broken"

        def __init__(self, dims) -> None:
            raise RuntimeError("wires crossed")

    plugins.fusions.add(Broken, "test")
    proposals = default_proposals(
        request(plugins, fusions=("broken", "product", "concat")), plugins
    )
    assert [p["fusion"] for p in proposals] == ["concat", "product", "broken"]


# warm start


@pytest.fixture(scope="module")
def earlier(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search of ``unique``."""
    out, plugins = tmp_path_factory.mktemp("runs"), load_plugins()
    asked = request(plugins, "unique")
    (out / "one").mkdir()
    study = study_of(asked, plugins, out / "one" / "study.journal", "unique-1")
    attempt_all(study, asked, plugins, bench, 8)
    return out


def warm(asked: SearchRequest, plugins: Plugins, out: Path) -> SearchRequest:
    dataset = plugins.datasets[asked.task.name]()
    studies = earlier_studies(Places(out, out), "new")
    return warmed(replace(asked, warm_start=True), dataset, studies, plugins)


def test_a_search_begins_with_the_best_of_an_earlier_one(plugins: Plugins, earlier: Path) -> None:
    study = optuna.load_study(
        study_name=None, storage=open_storage(str(earlier / "one" / "study.journal"))
    )
    best = max(
        (a for a in attempted(study) if a.state == "finished" and not a.reference),
        key=lambda a: (a.score, -a.number),
    )
    asked = warm(request(plugins), plugins, earlier)
    assert 0 < len(asked.earlier) <= 5
    assert (asked.earlier[0]["trial"], asked.earlier[0]["score"]) == (best.number, best.score)
    new = study_of(asked, plugins, earlier / "two.journal", "new")
    tried = [t.system_attrs.get("fixed_params", {}) for t in new.trials]
    defaults = default_proposals(request(plugins), plugins)
    taken = [e["proposal"] for e in asked.earlier if e["proposal"] not in defaults]
    assert taken and [p for p in tried if p in taken] == taken
    last_reference = max(n for n, t in enumerate(new.trials) if "fixed_spec" in t.user_attrs)
    assert tried[last_reference + 1] == asked.earlier[0]["proposal"], "before a small budget ends"
    spec = propose(optuna.trial.FixedTrial(taken[0]), asked, plugins)
    assert spec.task.name == "synergy" and spec.train.max_epochs == 2
    assert SearchRequest.from_dict(new.user_attrs["request"]) == asked, "the study says what it is"


def test_the_same_warm_search_continues_though_there_is_more_to_start_from(
    plugins: Plugins, earlier: Path
) -> None:
    cold, asked = request(plugins), warm(request(plugins), plugins, earlier)
    again = replace(asked, earlier=())
    assert study_name(asked, "1", plugins) == study_name(again, "1", plugins)
    assert study_name(asked, "1", plugins) != study_name(cold, "1", plugins)


def test_a_search_that_goes_on_names_what_its_study_started_from(
    plugins: Plugins, earlier: Path, tmp_path: Path
) -> None:
    asked = warm(request(plugins), plugins, earlier)
    study = study_of(asked, plugins, tmp_path / "j")
    now = replace(asked, earlier=[{**asked.earlier[0], "study": "unique-2"}])  # a later one
    places = Places(tmp_path, tmp_path)
    campaign = Campaign(now, Budget(), places, Crew(1, 1), plugins, None)  # type: ignore[arg-type]
    sources = campaign._summary(study)["warm_start"]
    assert [s["study"] for s in sources] == ["unique-1"] * len(asked.earlier)


def test_only_what_the_new_space_has_is_taken_from_similar_tasks(
    plugins: Plugins, earlier: Path
) -> None:
    narrow = warm(request(plugins, fusions=("product",)), plugins, earlier)
    assert {e["proposal"].get("fusion") for e in narrow.earlier} == {"product"}
    other = warm(request(plugins, fusions=("gated",)), plugins, earlier)
    assert other.earlier == []

    assert warm(request(plugins, "redundant"), plugins, earlier).earlier == [], "has three"


def test_a_damaged_study_is_passed_over(plugins: Plugins, earlier: Path) -> None:
    (earlier / "zero").mkdir()
    (earlier / "zero" / "study.journal").write_text("not a journal\n")
    assert warm(request(plugins), plugins, earlier).earlier


# thousands of trials


def many(n: int) -> list[optuna.trial.FrozenTrial]:
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    return [
        optuna.trial.create_trial(
            params={"x": x}, distributions=space, value=x * (1 - x), intermediate_values={0: x}
        )
        for x in ((i * 7919 % n) / n for i in range(n))
    ]


def replace_value(trial: optuna.trial.FrozenTrial, value: float) -> optuna.trial.FrozenTrial:
    trial.value = value
    return trial


def test_proposals_see_the_best_and_the_latest_of_a_large_study() -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trials(many(2000))
    trials, number = study.trials, study.ask().number
    window = window_of(study, study.trials[number])
    shown = window.get_trials(deepcopy=False)
    assert len(shown) <= BEST + LATEST
    running = window.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
    assert [t.number for t in running] == [number]
    best = sorted(trials, key=lambda t: -t.value)[:BEST]
    numbers = {t.number for t in shown}
    assert {t.number for t in best} <= numbers and set(range(1800, 2000)) <= numbers
    study.add_trials([replace_value(t, 9.0) for t in many(3)])  # better than all before
    later = study.ask().number
    shown = window_of(study, study.trials[later]).get_trials(deepcopy=False)
    assert {t.number for t in shown} >= {t.number for t in best[: BEST - 3]} | {2001, 2002, 2003}


def test_a_small_study_is_proposed_to_as_by_plain_tpe() -> None:
    asked = []
    for sampler in (WindowedTPE(seed=3), optuna.samplers.TPESampler(seed=3, multivariate=False)):
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials(many(100))
        asked.append([study.ask().suggest_float("x", 0, 1) for _ in range(5)])
    assert asked[0] == asked[1]


def test_tpe_still_finds_the_good_region_through_the_window() -> None:
    study = optuna.create_study(direction="maximize", sampler=WindowedTPE(seed=0))
    study.add_trials(many(1000))
    near = [abs(study.ask().suggest_float("x", 0, 1) - 0.5) for _ in range(20)]
    assert sum(near) / len(near) < 0.1  # random: 0.25


def test_a_pruner_still_prunes_through_the_window() -> None:
    pruner = WindowedPruner(optuna.pruners.MedianPruner(n_warmup_steps=0))
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.add_trials(many(1000))
    ends = []
    for value in (0.05, 0.95):
        trial = study.ask()
        trial.report(value, 0)
        ends.append(trial.should_prune())
    assert ends == [True, False]
