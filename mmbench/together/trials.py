"""K trials of one structure, from specs to trained models: ``train_trial`` for all at once."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmbench.contracts import Encoder
from mmbench.plugins import Plugins
from mmbench.spec import TrialSpec
from mmbench.together.fitting import Member, fit_together
from mmbench.together.stack import NotTogether
from mmbench.training import Fitted, OnEpoch
from mmbench.trial import Built, OnBuilt, Trained, Workbench, build, heard_once, ignore, train_trial

log = logging.getLogger(__name__)


@dataclass
class Wanted:
    """A trial to be trained, and who is told of it."""

    spec: TrialSpec
    on_end: Callable[[Trained | Exception], None]
    """Told once, as soon as this trial has ended, however the others do."""
    on_epoch: OnEpoch = ignore
    on_built: OnBuilt = ignore
    ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.on_epoch = heard_once(self.on_epoch)

    def end(self, end: Trained | Exception) -> None:
        self.ended = True
        self.on_end(end)


def train_together(wanted: Sequence[Wanted], plugins: Plugins, bench: Workbench) -> None:
    """Train all, each to the result it has alone; at once where that can be, else in turn.

    What a trial raises is its own end; what is no ``Exception`` ends them all.
    """
    if len(wanted) > 1:
        try:
            _at_once(wanted, plugins, bench)
        except NotTogether as reason:
            log.info("%s: one by one, because: %s", wanted[0].spec.fusion_label, reason)
    for trial in wanted:
        if not trial.ended:
            _alone(trial, plugins, bench, ignore if len(wanted) > 1 else trial.on_built)


def _alone(trial: Wanted, plugins: Plugins, bench: Workbench, on_built: OnBuilt) -> None:
    try:
        trained = train_trial(trial.spec, plugins, bench, trial.on_epoch, on_built)
    except Exception as error:  # noqa: BLE001 - the end of this trial, not of the others
        trial.end(error)
    else:
        trial.end(trained)


def _at_once(wanted: Sequence[Wanted], plugins: Plugins, bench: Workbench) -> None:
    """Raises ``NotTogether`` if that cannot be, or if it fails on the way."""
    built: list[tuple[Wanted, Built]] = []
    for trial in wanted:
        try:
            built.append((trial, build(trial.spec, plugins, bench, trial.on_built)))
        except Exception as error:  # noqa: BLE001
            trial.end(error)
    if not built:
        return
    parts = [parts for _, parts in built]
    if not _read_the_same(parts):
        raise NotTogether("Their frozen encoders differ, or what the others are asked.")
    members = [_member(trial, parts) for trial, parts in built]
    try:
        _check_draws(parts)
        train, val = built[0][1].ready(bench)
        fit_together(members, train, val, built[0][1].groups)
    except NotTogether:
        raise
    except Exception as error:
        raise NotTogether(f"{type(error).__name__}: {error}") from error


def _member(trial: Wanted, built: Built) -> Member:
    def on_end(end: Fitted | Exception) -> None:
        trial.end(end if isinstance(end, Exception) else built.trained(end))

    return Member(built.trainer, built.model, trial.on_epoch, on_end)


def _read_the_same(built: Sequence[Built]) -> bool:
    """Whether all members read the same: what encoders make of values before they train.

    Frozen encoders are set alike and have the same weights, and all prepare values alike.
    """
    first, *others = built
    return all(_reads_as(first, other, m) for other in others for m in first.resolved.encoders)


def _reads_as(one: Built, other: Built, modality: str) -> bool:
    encoders = [built.model.encoders_by_modality[modality] for built in (one, other)]
    components = [built.resolved.spec.encoders[modality] for built in (one, other)]
    if encoders[0].frozen and (components[0] != components[1] or not _equal(*encoders)):
        return False
    return torch.equal(_asked(one, modality), _asked(other, modality))


def _asked(built: Built, modality: str) -> Tensor:
    """(values, …) of some rows, as the encoder has prepared them."""
    values = built.requests.columns[modality].values
    assert isinstance(values, Tensor)  # they are to be saved beside the model
    return values


def _check_draws(built: Sequence[Built]) -> None:
    """Raise ``NotTogether`` if members of several seeds would draw other numbers than alone.

    Where rows share the values of a modality or miss them, batches of different seeds have
    different numbers of values. They are brought to one number, and what draws for each value
    draws for those, too.
    """
    first = built[0]
    if len({b.trainer.seed for b in built}) == 1:
        return
    for modality, encoder in first.model.encoders_by_modality.items():
        if encoder.frozen or first.train.columns[modality].index is None:
            continue
        if modality in first.model.augmentations or _draws(encoder, _asked(first, modality)[:2]):
            raise NotTogether(f"The encoder of {modality} draws at random, once for each value.")


@torch.no_grad()
def _draws(encoder: Encoder, values: Tensor) -> bool:
    """Whether it answers otherwise when it is asked again in training."""
    was_training = encoder.training
    encoder.train()
    with torch.random.fork_rng():
        device = next(encoder.parameters(), torch.empty(0)).device
        one, other = (encoder(values.to(device)) for _ in range(2))
    encoder.train(was_training)
    return not (torch.equal(one.tokens, other.tokens) and torch.equal(one.pooled, other.pooled))


def _equal(one: Encoder, other: Encoder) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(tensor, states[1][name]) for name, tensor in states[0].items()
    )
