"""Load plugins one at a time, each guarded: every plugin ends in a state, and stops no other.

pluggy's own loader would stop at the first broken plugin, silently skip a second distribution with
a known entry-point name, and accept a misspelt hook.
"""

import importlib
import logging
import pkgutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path

from mmbench import datasets, encoders, fusions, heads, metrics, objectives
from mmbench.errors import DuplicateName
from mmbench.installed.admission import (
    API_ATTRIBUTE,
    Trouble,
    api_trouble,
    trouble,
    twice,
    unknown_names,
)
from mmbench.installed.offers import FILE_VERSION, Offer, contact, module_file, offers
from mmbench.installed.records import PluginRecord, insist
from mmbench.installed.switches import DISABLED
from mmbench.plugins.bringing import bring
from mmbench.plugins.collection import BUILTIN, Plugins

OWN_CODE = str(Path(__file__).parents[1])
SLOW_SECONDS = 2.0
COMPONENT_PACKAGES = (datasets, encoders, fusions, heads, objectives, metrics)
log = logging.getLogger(__name__)


@cache
def load_plugins() -> Plugins:
    """All components there are. Plugins that are not as they should be are named in the log.

    Raises ``BrokenPlugin`` for a file that the user named, and with ``MMBENCH_STRICT_PLUGINS`` set
    for any plugin.
    """
    plugins = gather()
    insist(plugins.records)
    for record in plugins.records:
        if record.bad:
            log.warning("%s", record)
    return plugins


def gather() -> Plugins:
    """Built-ins first, then every plugin, each guarded; nothing that one does raises here."""
    plugins = Plugins()
    for name in builtin_modules():
        if failed := _builtin(plugins, name):
            plugins.records.append(failed)
    found = offers()
    for offer in found:
        plugins.records.append(_load(plugins, offer))
    for offer, why in twice():
        plugins.records.append(_refused(_record(offer), why))
    for name, why in unknown_names(found):
        plugins.records.append(_refused(PluginRecord(name, "not installed", "", "failed"), why))
    lost = [f"{r.name} ({r.distribution}) {r.state}" for r in plugins.records if r.bad]
    for registry in plugins.registries:
        registry.lost = lost
    return plugins


def gather_with(path: Path) -> tuple[Plugins, PluginRecord]:
    """Everything, and a file as one plugin more, with what became of it.

    The file of a plugin that is there anyway is that plugin.
    """
    plugins = gather()
    for offer in plugins.offers:
        file = module_file(offer)
        if file is not None and file.samefile(path):
            owned = (offer.name, offer.distribution)
            return plugins, next(r for r in plugins.records if (r.name, r.distribution) == owned)
    return plugins, _load(plugins, Offer(path.stem, path.name, FILE_VERSION, str(path.absolute())))


def builtin_modules() -> Iterator[str]:
    """Every public module of the component packages: a new file is a new built-in."""
    for package in COMPONENT_PACKAGES:
        for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            if not info.name.rpartition(".")[2].startswith("_"):
                yield info.name


def _builtin(plugins: Plugins, name: str) -> PluginRecord | None:
    """None if it loads, as it does unless the installation is broken."""
    record = PluginRecord(name.removeprefix("mmbench."), BUILTIN, "", "loaded", target=name)
    mend = "run `mmbench doctor`: a package that it needs is broken or does not fit the others"
    record = _guarded(
        record, lambda: bring(plugins, importlib.import_module(name), name, BUILTIN), mend
    )
    return None if record.usable else record


def _record(offer: Offer) -> PluginRecord:
    return PluginRecord(
        offer.name, offer.distribution, offer.version, "loaded",
        target=offer.target, folder=offer.folder, contact=contact(offer), named=offer.is_file,
    )  # fmt: skip


def _refused(record: PluginRecord, why: Trouble) -> PluginRecord:
    return replace(record, state=why.state, reason=why.reason, mend=why.mend)


def _load(plugins: Plugins, offer: Offer) -> PluginRecord:
    record = _record(offer)
    if why := trouble(offer) or _name_taken(plugins, offer):
        return _refused(record, why)
    start = time.perf_counter()
    record = _guarded(record, lambda: _take_in(plugins, offer), _mend(offer))
    record = replace(record, seconds=time.perf_counter() - start)
    if not record.usable:
        return record
    plugins.offers.append(offer)
    if record.seconds <= SLOW_SECONDS:
        return record
    return replace(
        record,
        state="slow",
        reason=f"it took {record.seconds:.1f} s to import, in every process of a search",
        mend=f"ask its author to import heavy libraries inside functions, or set "
        f"{DISABLED}={offer.name} where you do not need it",
    )


def _name_taken(plugins: Plugins, offer: Offer) -> Trouble | None:
    """A plugin is switched on and off by its name: two cannot share one."""
    other = next((o for o in plugins.offers if o.name == offer.name), None)
    if other is None:
        return None
    if offer.is_file and other.is_file:
        mend = "rename one of the files"
    else:
        mend = f"set {DISABLED}={other.distribution} to use this one, or ask an author to rename"
    reason = f"{other.distribution} {other.version} has a plugin named {offer.name!r} too"
    return Trouble("name clash", reason, mend)


class _WrongApi(Exception):
    """The plugin's module says that it needs another API."""

    def __init__(self, why: Trouble) -> None:
        super().__init__(why.reason)
        self.why = why


def _take_in(plugins: Plugins, offer: Offer) -> None:
    """Import a plugin and register what it brings. What it prints is no output of ours."""
    with redirect_stdout(sys.stderr):
        module = offer.load()
        needed = getattr(module, API_ATTRIBUTE, None)
        if needed is not None and (why := api_trouble(offer, needed)):
            raise _WrongApi(why)
        bring(plugins, module, str(offer), offer.distribution)


def _guarded(record: PluginRecord, step: Callable[[], None], mend: str) -> PluginRecord:
    """What became of it. Only Ctrl-C gets through."""
    try:
        step()
    except KeyboardInterrupt:
        raise
    except DuplicateName as error:
        return _refused(record, Trouble("name clash", str(error), _clash_mend(record)))
    except _WrongApi as error:
        return _refused(record, error.why)
    except BaseException as error:  # noqa: BLE001 - a stranger's code may raise anything
        missing = _missing_name(error)
        why = Trouble("incompatible" if missing else "failed", _reason(error), missing or mend)
        return replace(_refused(record, why), detail=traceback.format_exc())
    return record


def _reason(error: BaseException) -> str:
    """The error on one line, with the place in the plugin's own code where it arose."""
    text = " ".join(str(error).split())
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_foreign(f.filename)]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}"


def _is_foreign(filename: str) -> bool:
    """Neither ours nor Python's import machinery."""
    parts = Path(filename).parts
    return not filename.startswith(("<", OWN_CODE)) and "importlib" not in parts


def _missing_name(error: BaseException) -> str:
    """The mend, if a plugin imports a name that a later ``mmbench.api`` may have."""
    if isinstance(error, ImportError) and error.name in ("mmbench.api", "mmbench.testing"):
        return (
            "run `uv pip install --upgrade mmbench`: the plugin may be for a later one; its author "
            f'should then write {API_ATTRIBUTE} = ">=…" into its module'
        )
    return ""


def _mend(offer: Offer) -> str:
    if offer.is_file:
        return f"edit {offer.target}"
    return (
        f"run `uv pip install --upgrade {offer.distribution}`, which also installs what it needs; "
        f"if it still fails, tell its author, and set {DISABLED}={offer.name} meanwhile"
    )


def _clash_mend(record: PluginRecord) -> str:
    if record.named:
        return f"rename the component in {record.target}"
    return (
        f"uninstall one of the two, set {DISABLED}={record.name}, or ask the author of "
        f"{record.distribution} to rename it"
    )
