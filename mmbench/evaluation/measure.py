"""What a saved model costs, measured in a process of its own.

``python -m mmbench.evaluation.measure FOLDER --device cpu --threads 1`` prints one JSON document.
In a fresh process nothing that ran before (training, caches, freed memory) is part of a figure.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mmbench.errors import DeviceUnavailable, MMBenchError
from mmbench.evaluation.disturbance import Disturbance
from mmbench.evaluation.energy import energy_mj_per_request
from mmbench.evaluation.flags import flags_of
from mmbench.evaluation.flops import flops
from mmbench.evaluation.hardware import hardware
from mmbench.evaluation.latency import measure_latency
from mmbench.evaluation.memory import measure_memory, release_freed_memory, resident_mib
from mmbench.evaluation.training_memory import measure_training
from mmbench.plugins import Plugins, load_plugins
from mmbench.saved import load_answers, load_model, load_requests
from mmbench.threads import limits
from mmbench.types import Split

MODULE = "mmbench.evaluation.measure"
TAIL_LINES = 20


class MeasurementFailed(MMBenchError):
    """The measuring process failed, did not finish, or said something else than JSON."""


def measure_in_fresh_process(
    folder: Path, device: str, threads: int, timeout_s: float = 300
) -> dict[str, Any]:
    """The document of ``measure`` from a fresh Python process, or its error."""
    command = [sys.executable, "-P", "-m", MODULE, str(folder), "--device", device]
    try:
        done = subprocess.run(
            [*command, "--threads", str(threads)],
            capture_output=True, text=True, timeout=timeout_s, check=True,
            env={**os.environ, **limits(threads)},
        )  # fmt: skip
        document: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(
            f"Measuring {folder} on {device} took longer than {timeout_s:g} s and was stopped."
        ) from None
    except subprocess.CalledProcessError as error:
        tail = "\n".join(error.stderr.strip().splitlines()[-TAIL_LINES:])
        code = error.returncode
        how = f"exit code {code}" if code > 0 else f"killed by signal {-code}: out of memory?"
        raise MeasurementFailed(
            f"Measuring {folder} on {device} failed ({how}).\n{tail}".rstrip()
        ) from None
    except json.JSONDecodeError as error:
        raise MeasurementFailed(f"Measuring {folder} printed no JSON document: {error}.") from None
    return document


def measure(folder: Path, device: torch.device) -> dict[str, Any]:
    """Latency, memory, FLOPs, energy and hardware of the model in ``folder``, as JSON.

    Latency is that of a model which has not been asked anything before.
    """
    start = time.perf_counter()
    machine = hardware()
    requests, plugins = load_requests(folder), load_plugins()
    memory = _memory(folder, requests, plugins, device)
    model = load_model(folder, plugins, device).model
    with Disturbance() as disturbance:
        latency = measure_latency(model, requests, device, expected=load_answers(folder))
    energy_mj = energy_mj_per_request(model, requests, device)
    document = {
        "latency": latency,
        "memory": memory,
        "flops": flops(model, requests),
        **({} if energy_mj is None else {"energy_mj_per_request_batch_32": round(energy_mj, 3)}),
        "hardware": machine,
        "others_cores": round(disturbance.others_cores, 2),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - start, 2),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    raised = [*flags_of(document), *hardware()["flags"], *disturbance.flags]
    return {**document, "flags": list(dict.fromkeys(raised))}


def _memory(
    folder: Path, requests: Split, plugins: Plugins, device: torch.device
) -> dict[str, Any]:
    """The baseline is read when everything but the model is loaded."""
    load_model(folder, plugins, device)  # so that the libraries it asks for are, too
    release_freed_memory()
    baseline_mib = resident_mib()
    model = load_model(folder, plugins, device).model
    memory = measure_memory(model, requests, device, baseline_mib=baseline_mib)
    del model
    training = measure_training(folder, plugins, device)
    return {**memory, "training": training, "baseline_mib": round(baseline_mib, 2)}


def _device(name: str) -> torch.device:
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(f"{name} was asked for; this process sees no CUDA device.")
    return device


def main() -> int:
    """Measure as the command line says; only the document goes to standard output."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        with redirect_stdout(sys.stderr):  # whatever a plugin prints is not part of the document
            document = measure(options.folder, _device(options.device))
    except MMBenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
