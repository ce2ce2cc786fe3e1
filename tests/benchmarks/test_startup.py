"""How long the command line takes to start, with no plugin and with fifty.

Run it with ``pytest tests/benchmarks/test_startup.py -m slow -s``; it prints the table that stands
in ``leaderboards/speed.md``. Seconds of CPU time, the least of several runs: other processes on the
machine do not count.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from installing import Site, fusion

pytestmark = pytest.mark.slow

REPETITIONS = 5
COMMANDS = {
    "`mmbench --help`": ["--help"],
    "`mmbench list fusions`": ["list", "fusions"],
    "`mmbench plugins`": ["plugins"],
    "`mmbench describe fusion concat` (loads everything)": ["describe", "fusion", "concat"],
}
PROGRAM = """
import runpy, sys
sys.path.insert(0, {site!r})
runpy.run_module("mmbench", run_name="__main__")
"""


def seconds(arguments: list[str], site: Path, cache: Path) -> float:
    """CPU seconds of one call in a fresh process that finds the distributions in ``site``."""
    before = os.times()
    subprocess.run(
        [sys.executable, "-c", PROGRAM.format(site=str(site)), *arguments],
        stdout=subprocess.DEVNULL, check=True, env={**os.environ, "MMBENCH_CACHE": str(cache)},
    )  # fmt: skip
    after = os.times()
    return (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )


def measured(n_plugins: int, folder: Path) -> dict[str, tuple[float, float]]:
    """By command, the first call (nothing is known yet) and the least of the later ones."""
    site = Site(folder / "site")
    site.folder.mkdir(parents=True)
    for number in range(n_plugins):
        site.install(f"tiny-{number}", fusion(f"tiny-{number}"))
    found = {}
    for title, arguments in COMMANDS.items():
        cache = folder / f"cache-{len(found)}"
        first = seconds(arguments, site.folder, cache)
        found[title] = (
            first,
            min(seconds(arguments, site.folder, cache) for _ in range(REPETITIONS)),
        )
    return found


def test_fifty_plugins_cost_little_until_they_are_used(tmp_path: Path) -> None:
    none, fifty = measured(0, tmp_path / "none"), measured(50, tmp_path / "fifty")
    print("\n| command | no plugin | 50 plugins | first call, no plugin | first call, 50 plugins |")
    print("| --- | --- | --- | --- | --- |")
    for title in COMMANDS:
        cells = [none[title][1], fifty[title][1], none[title][0], fifty[title][0]]
        print(f"| {title} | {' | '.join(f'{s:.2f} s' for s in cells)} |")
    help_, listing = list(COMMANDS)[:2]
    assert fifty[help_][1] < 1.5 * none[help_][1]
    assert fifty[listing][1] - none[listing][1] < 0.25
