"""``mmbench doctor``: whether this installation is sound, and what mmbench will run on."""

import importlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import typer

from mmbench.cli.options import AsJson
from mmbench.cli.output import print_json
from mmbench.errors import brief

COMPANIONS = ("torchvision", "torchaudio", "timm", "transformers", "sklearn", "optuna", "mlflow")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    sound: bool
    says: str


def doctor(as_json: AsJson = False) -> None:
    """Check versions, devices and the usual broken installs; exit code 1 if something is broken."""
    findings = [*_packages(), _device(), _cpu(), _workers(), _cache(), *_plugins()]
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        for finding in findings:
            mark = typer.style("ok ", fg="green") if finding.sound else typer.style("!! ", fg="red")
            typer.echo(f"{mark} {finding.name:14} {finding.says}")
    if not all(f.sound for f in findings):
        raise typer.Exit(1)


def _packages() -> list[Finding]:
    """Import each, since a wheel that does not match torch fails only then."""
    import torch

    found = [Finding("torch", sound=True, says=torch.__version__)]
    return found + [_looked(name, partial(_import, name)) for name in COMPANIONS]


def _looked(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, sound=True, says=look())
    except Exception as error:  # noqa: BLE001 - whatever is broken is what we came to find
        why = brief(error)
        return Finding(name, sound=False, says=f"{why}. {_mend(name)}")


def _mend(name: str) -> str:
    if name in ("torchvision", "torchaudio"):
        return (
            f"{name} is compiled for one version of torch: install both together, with "
            f"`uv sync` or `uv pip install 'torch>=2.11,<2.15' {name}`."
        )
    return "Reinstall it with `uv sync`."


def _import(name: str) -> str:
    module = importlib.import_module(name)
    if name == "torchvision":  # imports even when its compiled operators are for another torch
        import torch

        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        importlib.import_module("torchvision.ops").nms(boxes, torch.ones(1), 0.5)
    return str(module.__version__)


def _device() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("device", sound=True, says="cpu (no CUDA device is visible)")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]

    def try_it() -> str:
        torch.ones(1, device="cuda").add_(1).item()
        return "cuda: " + ", ".join(names)

    return _looked("device", try_it)


def _cpu() -> Finding:
    from mmbench.evaluation.hardware import usable_cores

    cores, load = usable_cores(), os.getloadavg()[0]
    busy = f"; load {load:.1f}: timings will be noisy" if load > cores else ""
    return Finding("cpu", sound=True, says=f"{cores} cores{busy}")


def _workers() -> Finding:
    from mmbench.search.placement import placement_line
    from mmbench.trial import device_named

    return _looked("workers", lambda: placement_line(device_named("auto").type))


def _cache() -> Finding:
    from mmbench.cache import cache_root
    from mmbench.files import probe_writable

    def look() -> str:
        root = cache_root()
        probe_writable(root)
        return f"{root}, {shutil.disk_usage(root).free / 2**30:.0f} GiB free"

    return _looked("cache", look)


def _plugins() -> list[Finding]:
    from mmbench.plugins import load_plugins

    return [
        Finding(
            f"plugin {r.name}",
            sound=r.state in ("loaded", "disabled"),
            says=str(r) if r.reason else r.version,
        )
        for r in load_plugins().records
    ]
