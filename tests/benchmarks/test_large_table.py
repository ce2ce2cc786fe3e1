"""A table whose images are far larger than the memory allowed: decoded, encoded and trained on.

The images are hard links, so that a disk holds them: 2,000 JPEG files of 512 × 512 under as many
names as the table has rows. Each name is opened, read, hashed and decoded as a file of its own.
Rows of one image stay in one part, as copies do. ``MMBENCH_LARGE_ROWS=100000`` is the size of the
committed figures (six minutes of a core); unset, a tenth of it. Rates are per second of CPU.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_limited import MIB, used

ROWS = int(os.environ.get("MMBENCH_LARGE_ROWS", "10000"))
DISTINCT = 2_000
SIDE = 512
ALLOWED_MIB = 384
"""What the process may allocate above what it has when its libraries are loaded."""
BARE = 400
"""Files that the bare loop decodes."""
BARE_BATCHES = 8


def write_images(folder: Path) -> None:
    """Blurred noise, each its own: about 35 KiB a file."""
    from PIL import Image

    draw = np.random.default_rng(0)
    (folder / "real").mkdir()
    for i in range(DISTINCT):
        small = draw.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        image.save(folder / "real" / f"{i}.jpg", quality=90)


def write_table(folder: Path, rows: int) -> Path:
    """``rows`` names of the images, a number and a class each."""
    place = folder / f"of-{rows}"
    place.mkdir()
    lines = ["photo,size,kind"]
    for row in range(rows):
        os.link(folder / "real" / f"{row % DISTINCT}.jpg", place / f"{row}.jpg")
        lines.append(f"of-{rows}/{row}.jpg,{row * 0.37 % 11:.3f},{'abc'[row % DISTINCT % 3]}")
    table = folder / f"{rows}.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def measure(table: Path, warm: Path) -> dict[str, Any]:
    """In a process of its own: prepare, encode and train under the kernel's limit."""
    import torch

    from mmbench.features import encodings
    from mmbench.plugins import load_plugins
    from mmbench.tables.options import TableOptions
    from mmbench.tables.preparing import prepare_anew
    from mmbench.trial import Workbench, train_trial

    torch.set_num_threads(1)
    plugins = load_plugins()

    def options(path: Path) -> TableOptions:
        return TableOptions(path=str(path), target="kind", split="0.8/0.1/0.1")

    def train(path: Path) -> tuple[Any, float]:
        start = time.process_time()
        spec = spec_of(prepare_anew(options(path)))
        decoded = time.process_time() - start
        return train_trial(spec, plugins, Workbench(torch.device("cpu"))), decoded

    train(warm)  # libraries and their buffers are there from now on
    idle = used("RssAnon")
    limit = (used("VmData") + ALLOWED_MIB) * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    start = time.process_time()
    trained, decoding = train(table)
    whole = time.process_time() - start

    prepared = trained.resolved.dataset.prepared
    values = prepared.split("train").columns["photo"].values
    encoder = trained.model.encoders["photo"]
    some = values.subset(torch.arange(min(4096, len(values))))
    start = time.process_time()
    features = sum(len(part) for part in encodings(encoder, some))
    encoding = time.process_time() - start
    pixels = some[torch.arange(128)]
    start = time.process_time()
    with torch.inference_mode():
        for _ in range(BARE_BATCHES):
            encoder(pixels)
    return {
        "rows": len(prepared.target),
        "decoded per s": len(prepared.target) / decoding,
        "encoded per s": features / encoding,
        "bare encoder per s": BARE_BATCHES * len(pixels) / (time.process_time() - start),
        "seconds": whole,
        "score": trained.fitted.score,
        "idle anonymous MiB": idle,
        "anonymous MiB": used("RssAnon"),
        "peak resident MiB": used("VmHWM"),
    }


def spec_of(prepared: Any) -> Any:
    from mmbench.spec import Component, TrainSpec, TrialSpec

    return TrialSpec(
        Component("table.large", prepared.options.params()),
        {"photo": Component("hog", {"levels": 2}), "table": Component("mlp")},
        Component("concat"), Component("mlp"), train=TrainSpec(max_epochs=1),
    )  # fmt: skip


def in_own_process(folder: Path, rows: int, warm: Path) -> dict[str, Any]:
    import ast

    table = write_table(folder, rows)
    done = subprocess.run(
        [sys.executable, __file__, str(table), str(warm)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "MMBENCH_CACHE": str(folder / f"cache-{rows}"),
             "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = ast.literal_eval(done.stdout.splitlines()[-1])
    print({name: round(value, 3) for name, value in found.items()})
    return found


def bare_loop(folder: Path, *, draft: bool) -> float:
    """Files per CPU second, opened and brought to 64 × 64 by Pillow alone, one after the other."""
    from PIL import Image

    start = time.process_time()
    for i in range(BARE):
        with Image.open(folder / "real" / f"{i}.jpg") as image:
            if draft:
                image.draft("RGB", (64, 64))
            np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR))
    return BARE / (time.process_time() - start)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_memory_is_flat_whatever_the_number_of_rows(tmp_path):
    write_images(tmp_path)
    warm = write_table(tmp_path, 400)
    bare, drafted = bare_loop(tmp_path, draft=False), bare_loop(tmp_path, draft=True)
    small, large = (in_own_process(tmp_path, rows, warm) for rows in (ROWS // 10, ROWS))
    print(f"bare loop: {bare:.0f} files per s; at an eighth of the size: {drafted:.0f}")
    pixels = large["rows"] * 3 * SIDE**2 / MIB
    print(f"decoded whole they are {pixels:,.0f} MiB; {ALLOWED_MIB} MiB were allowed")
    assert pixels > 2 * ALLOWED_MIB
    assert large["anonymous MiB"] - small["anonymous MiB"] < 0.2 * small["anonymous MiB"]
    assert large["decoded per s"] > bare / 2
    assert large["encoded per s"] > large["bare encoder per s"] / 2


if __name__ == "__main__":
    print(measure(Path(sys.argv[1]), Path(sys.argv[2])))
