"""Phase one: workers take trials from the study; this process watches, shows and logs them.

It alone writes to MLflow, from what the study holds: a trial that ended is logged once, whoever ran
it, even if the search was killed before it could be.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mmbench.campaign.earlier import earlier_studies
from mmbench.errors import SearchFailed
from mmbench.evaluation.environment import environment
from mmbench.search.pool import POLL_SECONDS
from mmbench.search.study import attempted, create_or_continue, open_storage, recover, snapshot
from mmbench.search.warm_start import inheritance, take_over

if TYPE_CHECKING:
    import optuna

    from mmbench.campaign.job import Campaign
    from mmbench.search.pool import Pool
    from mmbench.tracking import SearchRun


def search(campaign: Campaign) -> optuna.Study:
    """Spend the budget. Every trial that ended is in MLflow when this returns, or raises."""
    request, plugins, name = campaign.request, campaign.plugins, campaign.name
    url = campaign.places.storage_url(name)
    study = _open(campaign, url)
    if recovered := recover(study):
        campaign.listener.note(f"{recovered} interrupted trials are tried again")
    pool = campaign.pool(_arguments(campaign, url), "search")
    if not _spent(campaign, study):
        pool.start()
    try:
        run = campaign.tracker.search_run(
            request.task.name, name, request.to_dict(), environment(plugins)
        )
        _watch(campaign, pool, study, run)
    finally:
        pool.stop()
    log(study, run)
    run.finish()
    for warning in pool.warnings():
        campaign.listener.note(warning)
    _check(study, pool, name)
    return study


def _open(campaign: Campaign, url: str) -> optuna.Study:
    """The study of this request. A new one starts from what an earlier one has learnt."""
    request, plugins, name = campaign.request, campaign.plugins, campaign.name
    storage = open_storage(url)
    inherited = None
    if name not in [known.study_name for known in storage.get_all_studies()]:
        earlier = earlier_studies(campaign.places, request.task.name, name)
        inherited = inheritance(earlier, request, plugins)
    known = inherited.specs if inherited else ()
    study = create_or_continue(name, request, storage, plugins, known)
    if inherited:
        take_over(study, inherited)
        campaign.listener.note(str(inherited))
    return study


def _spent(campaign: Campaign, study: optuna.Study) -> bool:
    trials = campaign.budget.trials
    return trials is not None and snapshot(study).done >= trials


def _arguments(campaign: Campaign, url: str) -> list[str]:
    arguments = ["--study", campaign.name, "--storage", url]
    if campaign.budget.trials is not None:
        arguments += ["--trials", str(campaign.budget.trials)]
    if campaign.budget.deadline is not None:
        arguments += ["--deadline", str(campaign.budget.deadline)]
    return arguments


def _watch(campaign: Campaign, pool: Pool, study: optuna.Study, run: SearchRun) -> None:
    try:
        while pool.alive():
            campaign.listener.searching(snapshot(study), campaign.budget)
            log(study, run)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        campaign.listener.note("stopping after the epochs under way …")
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


def _check(study: optuna.Study, pool: Pool, name: str) -> None:
    """Raise ``SearchFailed`` if there is nothing to evaluate, with the reason."""
    done = attempted(study)
    if any(a.state == "finished" and not a.reference for a in done):
        return
    if violated := [a for a in done if a.state == "violated"]:
        raise SearchFailed(
            f"None of {len(violated)} configurations keeps the limits you set; the first: "
            f"{violated[0].record['violated']}. Relax --max-latency-ms or --max-memory-mib."
        )
    reasons = [a.record["reason"] for a in done if a.state == "failed"]
    why = f"The first failure: {reasons[0]}" if reasons else pool.last_words()
    raise SearchFailed(
        f"No trial of {name} finished ({len(reasons)} failed, {len(pool.died)} workers died). "
        f"{why or 'The budget was too small for one trial.'}\n"
        f"Logs: {pool.logs}. The same command tries again."
    )
