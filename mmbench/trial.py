"""One trial, from spec to result. Read this file first: it is the benchmark.

spec → resolve → load → fit encoders → prepare → precompute → build → train      search stops here
→ load the test part → evaluate
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmbench.augmentation import augmentations
from mmbench.batching import fits, groups_of
from mmbench.cache import features_root
from mmbench.contracts import Encoder, Metric
from mmbench.contracts import Fitted as FittedEncoder
from mmbench.errors import DeviceUnavailable
from mmbench.feature_cache import FeatureCache
from mmbench.features import precompute, prepare, strangers_code
from mmbench.loading import load_part
from mmbench.model import FusionModel, build_encoders, build_model, build_objective
from mmbench.parts import PARTS, check_parts, split_digest
from mmbench.pieces import within_memory
from mmbench.plugins import Plugins
from mmbench.remembered import Remembered
from mmbench.resolve import Resolved, resolve
from mmbench.spec import TrialSpec, canonical_json
from mmbench.training import Fitted, OnEpoch, Trainer, go_on, predict
from mmbench.types import Part, Split

REQUESTS = 256
"""Validation rows kept with a model to measure its latency with."""

OnBuilt = Callable[[FusionModel, Split], None]


def ignore(*_: object) -> None:
    """The default listener."""


@dataclass(slots=True)
class Learnt:
    """What encoders learnt of one training part: no parameter of theirs changes it.

    Of another part it begins anew, even of the same rows with their targets dealt anew.
    """

    train: Split | None = None
    known: dict[tuple[str, type[Encoder]], FittedEncoder] = field(default_factory=dict)

    def fitted(self, resolved: Resolved, train: Split) -> dict[str, FittedEncoder]:
        """Vocabulary, normalisation and the like, by modality."""
        if train is not self.train:
            self.train, self.known = train, {}
        target, kind = train.target.cpu(), resolved.task.target
        for m, cls in resolved.encoders.items():
            if (m, cls) not in self.known:
                self.known[m, cls] = cls.fit_to_target(train.columns[m], target, kind)
        return {m: self.known[m, cls] for m, cls in resolved.encoders.items()}


@dataclass(frozen=True, slots=True)
class Workbench:
    """What the trials of one process share: a device, the feature cache, loaded data."""

    device: torch.device
    cache: FeatureCache = field(default_factory=lambda: FeatureCache(features_root()))
    loaded: dict[tuple[str, Part], Split] = field(default_factory=dict)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)
    learnt: Learnt = field(default_factory=Learnt)
    disturbed: Remembered = field(default_factory=Remembered)
    """What frozen encoders say of the disturbed rows of test."""
    between_steps: Callable[[], None] = go_on
    """Of every training and diagnosis, and between batches of a frozen encoder; may raise to leave
    it at once. Each can take minutes."""

    def load(self, resolved: Resolved, part: Part) -> Split:
        """A part of the task's data, read once per process; only the last task is kept."""
        task = data_key(resolved)
        if any(other != task for other, _ in self.loaded):
            self.loaded.clear()
        if (task, part) not in self.loaded:
            name = resolved.spec.task.name
            self.loaded[task, part] = load_part(resolved.dataset, part, name)
        return self.loaded[task, part]

    def splits(self, resolved: Resolved) -> dict[str, str]:
        """A hash of each part, test included. Raises ``Leak`` if two of them share something."""
        task = data_key(resolved)
        if task not in self.digests:
            parts = {part: self.load(resolved, part) for part in PARTS}
            check_parts(
                parts,
                resolved.spec.task.name,
                rows_may_recur=resolved.dataset.rows_may_recur,
            )
            self.digests[task] = {part: split_digest(split) for part, split in parts.items()}
        return self.digests[task]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model with all that is needed to look at it further."""

    resolved: Resolved
    model: FusionModel
    fitted: Fitted
    requests: Split
    """Prepared validation rows, not encoded: what a user would ask of the model."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial that was scored on the test part."""

    trained: Trained
    test_scores: Tensor  # (rows, n_outputs)
    test: Split
    ready_test: Split
    """The same rows as the model reads them: prepared, frozen modalities encoded."""
    splits: Mapping[str, str]
    """A hash of the target and sources of each part."""


def train_trial(
    spec: TrialSpec,
    plugins: Plugins,
    bench: Workbench,
    on_epoch: OnEpoch = ignore,
    on_built: OnBuilt = ignore,
) -> Trained:
    """Everything up to the validation score. Search calls this: it never loads the test part.

    ``on_built`` sees the untrained model and some requests: a search that has cost limits looks
    here, before anything is spent. Either listener may raise to end the trial.
    """
    on_new_epoch = heard_once(on_epoch)
    return within_memory(
        lambda size: build(spec, plugins, bench, on_built, size).fit(bench, on_new_epoch),
        spec.train.batch_size,
    )


def heard_once(on_epoch: OnEpoch) -> OnEpoch:
    """A listener for a training that may begin anew: it hears of no epoch a second time."""
    told: list[int] = []

    def on_new_epoch(epoch: int, values: dict[str, float]) -> None:
        if epoch not in told:
            told.append(epoch)
            on_epoch(epoch, values)

    return on_new_epoch


def build(
    spec: TrialSpec,
    plugins: Plugins,
    bench: Workbench,
    on_built: OnBuilt,
    micro_batch: int | None = None,
) -> "Built":
    """Everything that training needs, with at most ``micro_batch`` rows worked on at once."""
    resolved = resolve(spec, plugins)
    train, val = bench.load(resolved, "train"), bench.load(resolved, "val")
    encoders = build_encoders(resolved, bench.learnt.fitted(resolved, train))
    for encoder in encoders.values():
        encoder.to(bench.device)
    model = build_model(resolved, encoders)
    model.micro_batch = micro_batch
    model.augmentations.update(augmentations(resolved.spec.train, resolved.task, encoders, train))
    requests = prepare(val.rows(spread_out(len(val), REQUESTS)), encoders)
    on_built(model, requests)
    trainer = Trainer(
        resolved.spec.train.lasting(len(train)),
        build_objective(resolved, model),
        main_metric(resolved, plugins),
        resolved.spec.seed,
        bench.device,
        bench.between_steps,
        resolved.spec.train.max_epochs,
    )
    # what a pair is told apart from are its batch mates: they should differ
    groups = groups_of(train) if resolved.task.fuses else None
    return Built(resolved, model, trainer, train, val, requests, groups)


@dataclass(frozen=True, slots=True)
class Built:
    """A trial before its first step."""

    resolved: Resolved
    model: FusionModel
    trainer: Trainer
    train: Split
    """As the dataset loaded it, and so is ``val``."""
    val: Split
    requests: Split
    groups: Tensor | None

    def ready(self, bench: Workbench) -> tuple[Split, Split]:
        """Both parts as the model reads them."""
        encoders = self.model.encoders_by_modality
        return (
            ready(self.train, "train", self.resolved, encoders, bench),
            ready(self.val, "val", self.resolved, encoders, bench),
        )

    def fit(self, bench: Workbench, on_epoch: OnEpoch) -> Trained:
        train, val = self.ready(bench)
        return self.trained(self.trainer.fit(self.model, train, val, self.groups, on_epoch))

    def trained(self, fitted: Fitted) -> Trained:
        return Trained(self.resolved, self.model, fitted, self.requests)


def run_trial(
    spec: TrialSpec, plugins: Plugins, bench: Workbench, on_epoch: OnEpoch = ignore
) -> TrialResult:
    """Train, then look at the test part once; parts that leak are refused before that."""
    bench.splits(resolve(spec, plugins))
    return score_on_test(train_trial(spec, plugins, bench, on_epoch), bench)


def score_on_test(trained: Trained, bench: Workbench) -> TrialResult:
    """The only look at the test part, once for each trained model; refused if parts leak."""
    splits = bench.splits(trained.resolved)
    encoders = trained.model.encoders_by_modality
    test = bench.load(trained.resolved, "test")
    split = ready(test, "test", trained.resolved, encoders, bench)
    scores = predict(trained.model, split, bench.device)
    return TrialResult(trained, scores, test, split, splits)


def spread_out(n_rows: int, wanted: int) -> Tensor:
    """Rows from all over a split: neighbours share an image, which would flatter a batch's time."""
    return torch.linspace(0, n_rows - 1, min(wanted, n_rows)).long()


def fit_encoders(resolved: Resolved, train: Split) -> dict[str, Encoder]:
    """Vocabulary, normalisation and the like come from the training part alone."""
    return build_encoders(resolved, Learnt().fitted(resolved, train))


def ready(
    split: Split, part: Part, resolved: Resolved, encoders: Mapping[str, Encoder], bench: Workbench
) -> Split:
    """As the model reads it: frozen modalities as cached features; on the device if it fits there.

    ``split`` is as the dataset loaded it.
    """
    data = {"data": data_key(resolved), "part": part}
    keys = {m: {**data, "params": dict(resolved.spec.encoders[m].params)} for m in encoders}
    split = precompute(split, encoders, bench.cache, keys, bench.between_steps)
    return split.to(bench.device) if fits(split, bench.device) else split


def data_key(resolved: Resolved) -> str:
    """Which data, exactly: task, parameters and version; of a plugin its code, too.

    Its author may change what it loads and leave the version as it is.
    """
    task, dataset = resolved.spec.task, resolved.dataset
    code = strangers_code(type(dataset))
    return canonical_json([task.name, dict(task.params), dataset.version, *filter(None, [code])])


def main_metric(resolved: Resolved, plugins: Plugins) -> Metric:
    return plugins.metrics[resolved.task.metric]()


def device_named(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device of this machine."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise DeviceUnavailable(f"--device is auto, cpu or cuda; got {name!r}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(
            "No CUDA device is visible here. Use --device cpu or auto; `mmbench doctor` says more."
        )
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)
