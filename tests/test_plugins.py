"""Plugins load one at a time, each guarded; one broken plugin never stops the others."""

import ast
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from installing import Site, forget, fusion

from mmbench import plugins as loader
from mmbench.catalogue import catalogue, fingerprint
from mmbench.errors import BrokenPlugin, UnknownName
from mmbench.installed.records import PluginRecord
from mmbench.plugins import Plugins

HOOKED = "from mmbench.api import hookimpl\n@hookimpl\n"
ROOT = Path(__file__).parents[1]


def load() -> Plugins:
    return loader.load_plugins.__wrapped__()


def states(plugins: Plugins) -> dict[str, str]:
    return {r.name: r.state for r in plugins.records}


def record(plugins: Plugins, name: str) -> PluginRecord:
    (found,) = [r for r in plugins.records if r.name == name]
    return found


def test_builtins_are_found_by_being_there() -> None:
    plugins = loader.load_plugins()
    assert {"concat", "product", "only"} <= set(plugins.fusions)
    assert plugins.fusions.owner("concat") == "mmbench"


@pytest.mark.parametrize(
    ("code", "state", "reason", "mend"),
    [
        ("import no_such_module", "failed", "no_such_module", "uv pip install --upgrade a-bad"),
        ("raise SystemExit(3)", "failed", "SystemExit: 3 (", "uv pip install --upgrade a-bad"),
        ("import sys\nsys.exit()", "failed", "a_bad.py:2", "MMBENCH_DISABLE_PLUGINS=a-bad"),
        ("class Odd(BaseException): pass\nraise Odd", "failed", "Odd (", "tell its author"),
        ("1 +", "failed", "SyntaxError", ""),
        ("x = 3", "failed", "implements no hook", ""),
        (f"{HOOKED}def register_fusions(): return [3]", "failed", "mmbench.api.Fusion", ""),
        (f"{HOOKED}def register_fusions(): return 3", "failed", "a list of classes; got 3", ""),
        (f"{HOOKED}def register_fusions(): return None", "failed", "a list of classes; got N", ""),
        (f"{HOOKED}def register_fusions(): 1 / 0", "failed", "ZeroDivisionError", ""),
        (f"{HOOKED}def register_fusion(): return []", "failed", "mean 'register_fusions'", ""),
        ("def register_fusions(): return []", "failed", "not marked with @hookimpl", ""),
        ("def register_fusion(): return []", "failed", "Did you mean 'register_fusions'", ""),
        (f"{HOOKED}def trial_started(specs): pass", "failed", "specs", ""),
        (fusion("a b"), "failed", "letters, digits", ""),
        (fusion("bad").replace("def forward", "def backward"), "failed", "define forward", ""),
        (fusion("bad").replace("dims):", "dims, *, x):"), "failed", "keyword-only parameter", ""),
        (fusion("bad").replace("dims):", "dims, **more):"), "failed", "write each out", ""),
        (
            f"from typing import Annotated\nfrom mmbench.api import Range\n{fusion('bad')}".replace(
                "dims):", "dims, *, x: Annotated[int, Range(16, 64)] = 8):"
            ),
            "failed",
            "fusion bad.x = 8 is out of range",
            "",
        ),
        (
            fusion("bad").replace("    def __i", "    offered = 1\n    def __i"),
            "failed",
            "offer",
            "",
        ),
        ("from mmbench.api import Later", "incompatible", "Later", "--upgrade mmbench"),
        ('mmbench_api = ">=2"\n1 / 0', "incompatible", "API >=2; this", "--upgrade mmbench"),
        ('mmbench_api = f">={1 + 1}"\n', "incompatible", "API >=2; this", "--upgrade mmbench"),
        ('mmbench_api = "two"', "incompatible", "cannot be read", 'mmbench_api = ">=1"'),
    ],
)
def test_a_broken_plugin_is_reported_with_its_mend_and_the_others_work(
    site: Site, code: str, state: str, reason: str, mend: str
) -> None:
    site.install("a-bad", code)
    site.install("b-good", f'mmbench_api = ">=1"\n{fusion("good")}')
    plugins = load()
    assert states(plugins) == {"a-bad": state, "b-good": "loaded"}
    bad = record(plugins, "a-bad")
    assert bad.distribution == "a-bad" and bad.version == "1.0"
    assert reason in bad.reason and bad.mend and mend in bad.mend
    assert state == "incompatible" or "Traceback" in bad.detail
    assert "good" in plugins.fusions and "concat" in plugins.fusions
    assert not set(plugins.fusions) & {"bad", "a b"}


def test_a_package_that_requires_another_mmbench_is_not_imported(site: Site) -> None:
    site.install("later", "raise RuntimeError", requires="mmbench>=9999")
    site.install("extra", fusion("good"), requires='mmbench>=9999; extra == "x"')
    plugins = load()
    assert states(plugins) == {"extra": "loaded", "later": "incompatible"}
    assert "mmbench>=9999" in record(plugins, "later").reason


@pytest.mark.parametrize("target", ["good:nothing", "good.inner", "no such", "good:Good"])
def test_an_entry_point_that_gives_no_plugin_is_named(site: Site, target: str) -> None:
    site.install("good", fusion("good"))
    (entry,) = site.folder.glob("*.dist-info/entry_points.txt")
    entry.write_text(f"[mmbench]\ngood = {target}\n")
    assert states(load()) == {"good": "failed"}


def test_what_a_plugin_prints_is_no_output_of_ours(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("loud", f'print("welcome!")\n{fusion("good")}')
    assert states(load()) == {"loud": "loaded"}
    said = capsys.readouterr()
    assert not said.out and "welcome!" in said.err


def test_a_name_clash_keeps_the_first_and_names_both(site: Site) -> None:
    site.install("a-first", fusion("good"))
    site.install("b-second", fusion("good"))
    plugins = load()
    assert states(plugins) == {"a-first": "loaded", "b-second": "name clash"}
    clash = record(plugins, "b-second")
    assert "'good'" in clash.reason and "a-first" in clash.reason and "b-second" in clash.mend


def test_a_plugin_that_clashes_with_a_builtin_leaves_nothing_behind(site: Site) -> None:
    both = fusion("good").replace("return [Good]", "return [Good, Concat]").replace(
        "@hookimpl", 'class Concat(Good):\n    name = "concat"\n@hookimpl'
    )  # fmt: skip
    site.install("greedy", both)
    plugins = load()
    assert states(plugins) == {"greedy": "name clash"}
    assert "good" not in plugins.fusions
    assert plugins.fusions.owner("concat") == "mmbench"


def test_two_distributions_with_a_plugin_of_one_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("one", fusion("first"), plugin="same")
    site.install("two", fusion("second"), plugin="same")
    first, second = load().records
    assert (first.state, second.state) == ("loaded", "name clash")
    assert "one 1.0 has a plugin named 'same'" in second.reason
    assert "MMBENCH_DISABLE_PLUGINS=one" in second.mend
    monkeypatch.setenv("MMBENCH_DISABLE_PLUGINS", "one")  # what the mend says
    assert [r.state for r in load().records] == ["disabled", "loaded"]


def test_two_distributions_with_the_same_module(site: Site) -> None:
    site.install("one", fusion("first"), module="both")
    site.install("two", fusion("first"), module="both")
    assert sorted(states(load()).values()) == ["loaded", "name clash"]


def test_two_versions_at_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("good", fusion("good"), version="1.0")
    behind = Site(tmp_path / "behind")
    behind.folder.mkdir()
    behind.install("good", fusion("good"), version="2.0")
    monkeypatch.syspath_prepend(str(site.folder))
    sys.path.append(str(behind.folder))
    try:
        first, second = load().records
    finally:
        sys.path.remove(str(behind.folder))
    assert (first.version, first.state) == ("1.0", "loaded")
    assert (second.version, second.state) == ("2.0", "name clash")
    for text in ("1.0 in " + str(site.folder), "2.0 in " + str(behind.folder)):
        assert text in second.reason
    assert "uv pip uninstall good" in second.mend


def test_two_versions_in_one_folder_and_the_same_version_twice(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.9", "1.10"):  # an upgrade that was cut off
        site.install("good", fusion("good"), version=version)
    assert [(r.version, r.state) for r in load().records] == [
        ("1.10", "loaded"),
        ("1.9", "name clash"),
    ]
    copy = Site(tmp_path / "copy")
    copy.folder.mkdir()
    copy.install("good", fusion("good"), version="1.10")
    monkeypatch.syspath_prepend(str(copy.folder))
    versions = [(r.version, r.state) for r in load().records]
    assert versions == [("1.10", "loaded"), ("1.9", "name clash")]


def test_damaged_metadata_is_nobodys_plugin(site: Site) -> None:
    site.install("good", fusion("good"))
    for name, files in (("empty", {}), ("nameless", {"entry_points.txt": "[mmbench]\nx = x\n"})):
        info = site.folder / f"{name}-1.0.dist-info"
        info.mkdir()
        for file, text in files.items():
            (info / file).write_text(text)
    assert states(load())["good"] == "loaded"


def test_a_slow_plugin_works_and_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("slow", f"import time\ntime.sleep(0.06)\n{fusion('good')}")
    monkeypatch.setattr("mmbench.plugins.loading.SLOW_SECONDS", 0.05)
    plugins = load()
    slow = record(plugins, "slow")
    assert slow.state == "slow" and slow.seconds > 0.05 and "import" in slow.reason
    assert "MMBENCH_DISABLE_PLUGINS=slow" in slow.mend and "good" in plugins.fusions


def test_a_builtin_that_fails_is_named_and_the_others_work(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "mmbench.fusions.gated", raising=False)
    monkeypatch.setattr("mmbench.contracts.Fused", None)
    real = importlib.import_module

    def broken(name: str) -> object:
        if name == "mmbench.fusions.gated":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", broken)
    plugins = load()
    failed = record(plugins, "fusions.gated")
    assert (failed.distribution, failed.state) == ("mmbench", "failed")
    assert "libgomp" in failed.reason and "mmbench doctor" in failed.mend
    assert "concat" in plugins.fusions
    with pytest.raises(UnknownName, match=r"Not loaded: fusions.gated \(mmbench\) failed"):
        plugins.fusions["gated"]


# what the user chooses


def test_plugins_can_be_switched_off_by_name_or_owner(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("one", fusion("first"), plugin="plugin-one")
    site.install("two", fusion("second"), plugin="plugin-two")
    for given, off in (("x,plugin-one", {"one"}), ("Two", {"two"}), ("all", {"one", "two"})):
        monkeypatch.setenv("MMBENCH_DISABLE_PLUGINS", given)
        records = load().records
        assert {r.distribution for r in records if r.state == "disabled"} == off
        assert all("MMBENCH_DISABLE_PLUGINS" in r.mend for r in records if r.state == "disabled")


def test_only_these_plugins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("one", fusion("first"), plugin="plugin-one")
    site.install("two", "raise RuntimeError")
    monkeypatch.setenv("MMBENCH_PLUGINS", "plugin-one, plugin-tow")
    plugins = load()
    assert states(plugins) == {"plugin-one": "loaded", "two": "disabled", "plugin-tow": "failed"}
    missing = record(plugins, "plugin-tow")
    assert "Did you mean 'plugin-one'" in missing.reason
    assert "uv pip install plugin-tow" in missing.mend


def test_strict_refuses_what_is_broken_and_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch, at_site: Callable
) -> None:
    site.install("one", fusion("first"))
    site.install("two", fusion("second"))
    monkeypatch.setenv("MMBENCH_STRICT_PLUGINS", "1")
    monkeypatch.setenv("MMBENCH_DISABLE_PLUGINS", "two")
    assert at_site("list", "heads")[0] == 0  # disabled is as it should be
    site.install("three", "raise RuntimeError('wires crossed')")
    for command in ("list heads", "describe head mlp", "plugins", "plugins --json"):
        code, output, errors = at_site(*command.split())
        assert code == 2 and "wires crossed" in errors and "To mend it" in errors
        assert ("three" in output) == ("plugins" in command)
    monkeypatch.setenv("MMBENCH_STRICT_PLUGINS", "0")
    assert at_site("list", "heads")[0] == 0


def test_an_unusable_plugin_is_mentioned_once_when_components_are_loaded(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("bad", "raise RuntimeError('wires crossed')")
    with caplog.at_level(logging.WARNING):
        load()
    (said,) = caplog.messages
    assert "plugin bad (bad) failed to load" in said and "To mend it" in said


# a file as a plugin


def test_a_file_is_a_plugin_for_one_call(site: Site, tmp_path: Path, at_site: Callable) -> None:
    file = tmp_path / "my-fusion.py"
    file.write_text(fusion("mine", about="A fusion of an evening."))
    for arguments in (
        ["--plugin", str(file), "list", "fusions", "--json"],
        ["list", "fusions", "--json", "--plugin", str(file)],
    ):
        code, output, _ = at_site(*arguments)
        (mine,) = [item for item in json.loads(output) if item["name"] == "mine"]
        assert code == 0 and mine["owner"] == "my-fusion.py"
    code, output, _ = at_site("describe", "fusion", "mine")
    assert code == 0 and "A fusion of an evening" in output
    assert os.environ["MMBENCH_PLUGIN_FILES"] == str(file), "workers would not have it"


def test_a_command_of_a_file_that_is_named_after_it(
    site: Site, tmp_path: Path, at_site: Callable
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{HOOKED}def register_commands(app): app.command('hail')(lambda: print('hi'))")
    assert at_site("hail", "--plugin", str(file))[:2] == (0, "hi\n")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nowhere.py", None, "there is no such file"),
        ("notes.txt", "", "ends in .py"),
        ("bad.py", "x = 3\n1 / 0", "bad.py:2"),
        ("taken.py", fusion("concat"), "rename the component in"),
    ],
)
def test_a_file_that_is_no_plugin_ends_the_call(
    site: Site, tmp_path: Path, at_site: Callable, name: str, code: str | None, message: str
) -> None:
    if code is not None:
        (tmp_path / name).write_text(code)
    end, _, errors = at_site("list", "fusions", "--plugin", str(tmp_path / name))
    assert end == 2 and message in errors and "Traceback" not in errors
    if name == "bad.py":
        assert "ZeroDivisionError" in at_site("plugins", "--verbose")[1]


def test_two_files_of_one_name(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / folder / "mine.py" for folder in ("a", "b")]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(fusion(f"mine-{number}"))
    monkeypatch.setenv("MMBENCH_PLUGIN_FILES", os.pathsep.join(map(str, paths)))
    with pytest.raises(BrokenPlugin, match="rename one of the files"):
        load()


# what is shown


def test_plugins_shows_states_owners_reasons_mends_and_hashes(
    site: Site, at_site: Callable
) -> None:
    site.install("a-good", f"{fusion('good')}\n@hookimpl\ndef register_commands(app):\n"
                 "    app.command('greet')(lambda: print('good morning'))\n")  # fmt: skip
    site.install(
        "b-bad", "raise RuntimeError('wires crossed')",
        metadata="Project-URL: Issues, https://example.org/bad/issues\n",
    )  # fmt: skip
    code, output, _ = at_site("plugins", "--json")
    good, bad = json.loads(output)
    assert code == 0 and (good["state"], bad["state"]) == ("loaded", "failed")
    assert bad["contact"] == "https://example.org/bad/issues" and bad["mend"]
    assert len(good["sha256"]) == 64 and good["folder"] == str(site.folder)
    _, output, _ = at_site("plugins")
    assert "1 fusion, command greet" in output and "wires crossed" in output
    assert "mend: " in output and "Traceback" not in output
    _, output, _ = at_site("plugins", "--verbose")
    assert "Traceback" in output and good["sha256"] in output and str(site.folder) in output
    assert at_site("greet") == (0, "good morning\n", "")


def test_the_listing_believes_no_old_failure(site: Site, at_site: Callable) -> None:
    """What failed for want of a network may work by now, though no file has changed."""
    site.install("moody", f"import os\nassert 'GOOD_MOOD' in os.environ\n{fusion('good')}")
    assert "failed" in at_site("plugins")[1]
    os.environ["GOOD_MOOD"] = "yes"
    try:
        assert "loaded" in at_site("plugins")[1]
    finally:
        del os.environ["GOOD_MOOD"]


def test_a_name_that_is_no_command_imports_no_plugin(site: Site, at_site: Callable) -> None:
    site.install("good", fusion("good"))
    assert at_site("gret")[0] == 2  # makes the catalogue
    forget("good")
    assert (
        at_site("gret")[0] == 2 and at_site("--help")[0] == 0 and at_site("list", "heads")[0] == 0
    )
    assert "good" not in sys.modules


def test_commands_of_a_plugin_that_raises_are_left_out(
    site: Site, at_site: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("a-bad", f"{HOOKED}def register_commands(app): 1 / 0")
    site.install(
        "b-good", f"{HOOKED}def register_commands(app): app.command('greet')(lambda: print('hi'))"
    )
    assert "greet" not in at_site("--help")[1], "help imports nothing, and nothing is known yet"
    assert at_site("greet")[:2] == (0, "hi\n")
    assert "Commands of plugins:\n  greet" in at_site("--help")[1]
    assert "a-bad (a-bad): its hook register_commands raised ZeroDivisionError" in caplog.text


def test_commands_of_one_name_are_named(
    site: Site, at_site: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    command = HOOKED + "def register_commands(app): app.command({!r})(lambda: print({!r}))"
    site.install("a-first", command.format("greet", "first"))
    site.install("b-second", command.format("greet", "second"))
    site.install("c-ours", command.format("list", "mine"))
    assert at_site("greet")[1] in ("first\n", "second\n")
    assert "name clash: its command 'greet' is left out" in caplog.text
    assert "a-first (a-first)" in caplog.text and "b-second (b-second)" in caplog.text
    shown = at_site("plugins")[1]
    assert "command list (name clash: mmbench has it itself" in shown


def test_an_unknown_name_says_what_is_near() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'product'"):
        loader.load_plugins().fusions["prodct"]


def test_the_catalogue_is_made_anew_when_a_plugin_changes(site: Site, tmp_path: Path) -> None:
    before = fingerprint()
    assert fingerprint() == before
    module = site.install("good", fusion("good"))
    assert (added := fingerprint()) != before
    os.utime(module, ns=(1, 1))
    assert fingerprint() not in (before, added)


def test_a_damaged_catalogue_is_rebuilt(site: Site, tmp_path: Path) -> None:
    known = catalogue()
    (file,) = (tmp_path / "cache" / "catalogue").glob("*.json")
    file.write_text("{")
    assert catalogue() == known
    names = {c["name"] for c in known["components"]["fusion"]}
    assert {"concat", "product"} <= names


# what our own plugins may use


@pytest.mark.parametrize(
    "file",
    [p for p in sorted((ROOT / "plugins").rglob("*.py")) if not {"build", ".venv"} & set(p.parts)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_plugins_use_only_what_a_stranger_may(file: Path) -> None:
    """A stranger reads no source of ours: ``mmbench.api`` and ``mmbench.testing`` are all."""
    allowed = {"mmbench.api", "mmbench.testing"}
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
    ours = {name for name in imported if name.split(".")[0] == "mmbench"}
    assert ours <= allowed, f"import these from mmbench.api instead: {sorted(ours - allowed)}"
