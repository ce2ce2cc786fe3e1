"""``mmbench cache``: the features of frozen encoders that are kept on this machine."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli.options import AsJson
from mmbench.cli.output import print_json
from mmbench.errors import UnknownName

if TYPE_CHECKING:
    from mmbench.feature_cache import Entry, FeatureCache

DAMAGED = 1
SHOWN = 12
"""Characters of an entry's id."""

cache = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Features of frozen encoders: computed once per machine, shared by all trials, the least "
    "recently used dropped where they outgrow MMBENCH_CACHE_GIB.",
)
Ids = Annotated[list[str] | None, typer.Argument(help="Only these, by the first digits.")]


@cache.command("list")
def list_entries(as_json: AsJson = False) -> None:
    """What is kept: of which data and encoder, how large, when last used."""
    from mmbench.cache import GIB, cache_limit

    kept = _cache()
    entries = kept.entries()
    held = sum(e.nbytes for e in entries)
    limit = cache_limit(kept.root, held) if kept.root.exists() else None
    if as_json:
        found = [_about(e) for e in entries]
        document = {"root": str(kept.root), "bytes": held, "limit": limit, "entries": found}
        print_json(document)
        return
    for entry in entries:
        typer.echo(f"{entry.id[:SHOWN]}  {entry.nbytes / 2**20:10.1f} MiB  {_words(entry)}")
    bound = "" if limit is None else f" of at most {limit / GIB:.2f}"
    typer.echo(f"{len(entries)} entries, {held / GIB:.2f}{bound} GiB in {kept.root}")


@cache.command("verify")
def verify(ids: Ids = None, as_json: AsJson = False) -> None:
    """Read every byte and compare it with its checksum; exit code 1 if something is damaged."""
    from mmbench.feature_cache import damage

    found = [(entry, damage(entry)) for entry in _chosen(ids)]
    if as_json:
        print_json([{**_about(e), "problem": p} for e, p in found])
    else:
        for entry, problem in found:
            typer.echo(f"{entry.id[:SHOWN]}  {_words(entry)}  {problem or 'intact'}")
        bad = sum(problem is not None for _, problem in found)
        advice = "; `mmbench cache clear ID` removes it, the next use makes it anew" if bad else ""
        typer.echo(f"{len(found) - bad} intact, {bad} damaged{advice}")
    if any(problem is not None for _, problem in found):
        raise typer.Exit(DAMAGED)


@cache.command("clear")
def clear(ids: Ids = None, as_json: AsJson = False) -> None:
    """Delete features; what a process uses at this moment, or another user owns, is left."""
    from mmbench.feature_cache import remove

    chosen = _chosen(ids)
    gone = [entry for entry in chosen if remove(entry)]
    freed = sum(e.nbytes for e in gone)
    if as_json:
        print_json({"removed": [e.id for e in gone], "bytes": freed})
        return
    left = (
        f"; {len(chosen) - len(gone)} in use, or of another user, are left"
        if len(gone) < len(chosen)
        else ""
    )
    typer.echo(f"{len(gone)} entries removed, {freed / 2**20:.1f} MiB freed{left}")


def _cache() -> "FeatureCache":
    from mmbench.cache import features_root
    from mmbench.feature_cache import FeatureCache

    return FeatureCache(features_root())


def _chosen(ids: list[str] | None) -> "list[Entry]":
    entries = _cache().entries()
    for given in ids or ():
        if not given or not any(e.id.startswith(given) for e in entries):
            raise UnknownName(f"No entry begins with {given!r}. See `mmbench cache list`.")
    return [e for e in entries if not ids or any(e.id.startswith(given) for given in ids)]


def _about(entry: "Entry") -> dict[str, Any]:
    return {"id": entry.id, "bytes": entry.nbytes, "last_used": entry.used, "key": entry.key}


def _words(entry: "Entry") -> str:
    """``vqa/train image:timm(model=resnet18)  used 2026-07-01 12:00``."""
    import datetime as dt

    if entry.key is None:
        return "left over"
    key = entry.key
    params = ", ".join(f"{k}={v}" for k, v in key.get("params", {}).items())
    used = dt.datetime.fromtimestamp(entry.used).astimezone()
    return (
        f"{_task(key)}/{key.get('part')}  {key.get('modality')}:{key.get('encoder')}({params})  "
        f"used {used:%Y-%m-%d %H:%M}"
    )


def _task(key: Any) -> str:
    """The task's name from ``["vqa", {…}, "version"]``, which is how a key names its data."""
    try:
        return str(json.loads(key["data"])[0])
    except (KeyError, ValueError, IndexError, TypeError):
        return "unknown data"
