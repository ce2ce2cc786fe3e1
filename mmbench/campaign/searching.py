"""Phase one: workers take trials from the study; this process watches, shows and logs them.

It alone writes to MLflow, from what the study holds: a trial that ended is logged once, whoever ran
it, even if the search was killed before it could be.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import tee
from typing import TYPE_CHECKING

from mmbench.campaign.earlier import earlier_studies
from mmbench.errors import SearchFailed
from mmbench.evaluation.environment import environment
from mmbench.search.handing_over import recover
from mmbench.search.inheritance import Inheritance, inheritance, outdated, take_over
from mmbench.search.pool import POLL_SECONDS
from mmbench.search.storage import OUTAGE, open_storage, turn_of
from mmbench.search.study import (
    attempted,
    create_or_continue,
    is_complete,
    open_study,
    request_of,
    snapshot,
)

if TYPE_CHECKING:
    import optuna

    from mmbench.campaign.job import Campaign
    from mmbench.search.pool import Pool
    from mmbench.tracking import SearchRun


def search(campaign: Campaign) -> optuna.Study:
    """Spend the budget. Every trial that ended is in MLflow when this returns, or raises."""
    request, plugins, name = campaign.request, campaign.plugins, campaign.name
    study = prepare(campaign)
    pool = campaign.pool(worker_arguments(campaign), "search")
    if not _spent(campaign, study):
        pool.start()
    try:
        run = campaign.tracker.search_run(
            request.task.name, name, request_of(study).to_dict(), environment(plugins)
        )
        _watch(campaign, pool, study, run)
    finally:
        pool.stop()
    log(study, run)
    run.finish()
    for warning in pool.warnings():
        campaign.listener.note(warning)
    _check(study, pool, campaign)
    _tell_of_deaths(study, pool, campaign)
    return study


def prepare(campaign: Campaign) -> optuna.Study:
    """The study, ready for workers; the trials of dead ones are queued again.

    A new study starts from what an earlier one has learnt.
    """
    name, url = campaign.name, campaign.places.storage_url(campaign.name)
    storage = open_storage(url)
    with turn_of(url, name):
        inherited = None if is_complete(storage, name) else _inherited(campaign)
        if inherited:  # first: a study is complete once all that it starts from is there
            take_over(open_study(name, campaign.request, storage), inherited)
            campaign.listener.note(str(inherited))
        known = inherited.specs if inherited else ()
        study = create_or_continue(name, campaign.request, storage, campaign.plugins, known)
        recovered = recover(study)
    if recovered:
        campaign.listener.note(f"{recovered} interrupted trials are tried again")
    return study


def _inherited(campaign: Campaign) -> Inheritance | None:
    """What a new study starts from; if that is nothing for a new version, it is said."""
    request, plugins = campaign.request, campaign.plugins
    earlier, again = tee(earlier_studies(campaign.places, campaign.name, request.task.name))
    found = inheritance(earlier, request, plugins)
    if found is None and (old := outdated(again, request, plugins)):
        campaign.listener.note(
            f"{old} had the same request, but of another version of mmbench or of the task: "
            f"trials of two versions do not compare, so this search starts anew"
        )
    return found


def _spent(campaign: Campaign, study: optuna.Study) -> bool:
    trials = campaign.budget.trials
    return trials is not None and snapshot(study).done >= trials


def worker_arguments(campaign: Campaign) -> list[str]:
    """What ``mmbench worker`` is told, here or on another machine."""
    arguments = ["--study", campaign.name, "--storage", campaign.places.storage_url(campaign.name)]
    arguments += ["--together", str(campaign.crew.together)]
    if campaign.budget.trials is not None:
        arguments += ["--trials", str(campaign.budget.trials)]
    if campaign.budget.deadline is not None:
        arguments += ["--deadline", str(campaign.budget.deadline)]
    return arguments


def _watch(campaign: Campaign, pool: Pool, study: optuna.Study, run: SearchRun) -> None:
    done = 0
    try:
        while pool.alive():
            with suppress(*OUTAGE):  # workers wait for a database that is away; so does this
                now = snapshot(study)
                if now.done > done:
                    done, pool.restarts = now.done, 0
                campaign.listener.searching(now, campaign.budget)
                log(study, run)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        campaign.listener.note("stopping after the step under way …")
        pool.stop()
        log(study, run)
        run.finish("KILLED")
        raise
    campaign.listener.searching(snapshot(study), campaign.budget)


def log(study: optuna.Study, run: SearchRun) -> None:
    """Log what has ended since the last look."""
    for attempt in attempted(study):
        if attempt.spec is None or attempt.taken_over:  # that is in the run of its own search
            continue
        if attempt.state != "interrupted":
            run.log_trial(attempt.number, attempt.state, attempt.spec, attempt.record)


def _check(study: optuna.Study, pool: Pool, campaign: Campaign) -> None:
    """Raise ``SearchFailed`` if there is nothing to evaluate, with the reason."""
    done, name = [a for a in attempted(study) if a.state != "interrupted"], campaign.name
    if any(a.state == "finished" and not a.reference for a in done):
        return
    if violated := [a.record["violated"] for a in done if a.state == "violated"]:
        options = sorted({f"--max-{n.replace('_', '-')}" for v in violated for n in v})
        raise SearchFailed(
            f"None of {len(violated)} configurations keeps the limits you set; the first has "
            f"{_beyond(violated[0])}. Relax {' or '.join(options)}."
        )
    if done and len(done) == campaign.budget.trials and all(a.reference for a in done):
        raise SearchFailed(
            f"The {len(done)} trials of {name} were the references, which come first. Give "
            f"--trials {len(done) + 1} or more: the same command goes on."
        )
    reasons = [a.record["reason"] for a in done if a.state == "failed"]
    only_references = all(a.reference for a in done) and not (reasons or pool.died)
    if only_references and campaign.budget.time_is_up():
        after = f" after the {len(done)} references" if done else ""
        raise SearchFailed(
            f"The time was up before the first trial of {name}{after} had ended. Give a longer "
            f"--timeout: the same command goes on, with the frozen features computed so far."
        )
    why = f"The first failure: {reasons[0]}" if reasons else pool.last_words()
    raise SearchFailed(
        f"No trial of {name} finished ({len(reasons)} failed, {len(pool.died)} workers died). "
        f"{why or 'The budget was too small for one trial.'}\n"
        f"Logs: {pool.logs}. The same command tries again."
    )


def _tell_of_deaths(study: optuna.Study, pool: Pool, campaign: Campaign) -> None:
    """Nobody should take what workers that died have left for the whole of a search."""
    if pool.died and not _spent(campaign, study) and not campaign.budget.time_is_up():
        campaign.listener.note(
            f"{len(pool.died)} workers died, and no more are started: {snapshot(study).done} "
            f"trials are done, the budget is not spent. The same command goes on. "
            f"Logs: {pool.logs}."
        )


def _beyond(violated: Mapping[str, Mapping[str, float]]) -> str:
    return " and ".join(
        f"{name} {found['measured']:g}, where {found['limit']:g} is allowed"
        for name, found in violated.items()
    )
