"""Each promise as a test of its own, and as a line of a table: ``mmbench plugins check``."""

import json
import random
import sys
from pathlib import Path

import pytest
from broken_data import CannotBeMade
from broken_fusions import OneScalar, RefusesUnequalLengths, Sound
from command_line import mmbench
from installing import Site, fusion

from mmbench.testing import dataset_contract, fusion_checks, fusion_contract
from mmbench.testing.contract import Contract
from mmbench.testing.kinds import contract_of

GOOD = '''
"""The first modality alone."""
from mmbench.api import Fusion, hookimpl

class First(Fusion):
    name = "first"
    def __init__(self, dims):
        super().__init__(dims)
        self.out_dim = next(iter(dims.values()))
    @classmethod
    def reads(cls, modalities):
        return modalities[:1]
    def forward(self, features):
        return features[next(iter(self.dims))].pooled

@hookimpl
def register_fusions():
    return [First]
'''


def test_each_promise_is_a_test_with_its_name_and_what_it_says() -> None:
    tests = fusion_contract(Sound)
    found = {name: test for name, test in vars(tests).items() if name.startswith("test_")}
    assert set(found) == {f"test_{check.__name__}" for check in fusion_checks()}
    assert len(found) >= 25 and all(test.__doc__ for test in found.values())
    assert "test_it_computes_its_formula" in vars(fusion_contract(Sound, reference=Sound.forward))


def test_a_broken_promise_fails_with_the_message_and_no_more() -> None:
    tests = fusion_contract(OneScalar)
    tests().test_every_modality_is_used()
    with pytest.raises(pytest.fail.Exception, match="all outputs lie on one line") as failed:
        tests().test_output_is_no_bottleneck()
    assert failed.value.pytrace is False and "The promise: Samples differ" in str(failed.value)


def test_what_a_component_raised_is_shown_where_it_was_raised() -> None:
    with pytest.raises(pytest.fail.Exception) as failed:
        fusion_contract(RefusesUnequalLengths)().test_modalities_may_differ_in_length()
    assert "stacked = torch.stack(" in str(failed.value)


def test_verdicts_say_what_is_kept() -> None:
    contract = Contract("fusion", "one", fusion_checks(), lambda: (OneScalar,))
    broken = [v for v in contract.verdicts() if not v.kept]
    assert [v.promise for v in broken] == ["output_is_no_bottleneck"]
    assert "Return a vector" in broken[0].message and broken[0].seconds > 0


def test_what_cannot_be_made_is_one_broken_promise() -> None:
    (verdict,) = contract_of("dataset", CannotBeMade).verdicts()
    said = "dataset digits cannot be made: it raised RuntimeError: the disk is full"
    assert (verdict.promise, verdict.kept, verdict.message) == ("it_can_be_made", False, said)
    with pytest.raises(pytest.fail.Exception, match=said):
        dataset_contract(CannotBeMade)().test_parts_share_nothing()


# The command line ----------------------------------------------------------------------------


def test_a_sound_file_is_checked_and_shown(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(GOOD)
    done = mmbench(tmp_path, "plugins", "check", "first.py")
    assert done.returncode == 0, done.stdout
    assert "fusion first: 29 of 29 promises kept" in done.stdout
    assert "samples do not see each other" in done.stdout


def test_a_broken_file_has_exit_code_1_and_says_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(GOOD.replace("return features", "return 0 * features"))
    done = mmbench(tmp_path, "plugins", "check", "first.py", "--json")
    document = json.loads(done.stdout)
    (component,) = document["components"]
    assert done.returncode == 1 and document["kept"] is False
    assert (component["kind"], component["name"]) == ("fusion", "first")
    broken = {p["promise"]: p["message"] for p in component["promises"] if not p["kept"]}
    assert "it ignores modality 'a'" in broken["every_modality_is_used"]


HOOKED = "from mmbench.api import hookimpl\n@hookimpl\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("x = 1", "implements no hook"),
        ("def register_fusions(): return []", "not marked with @hookimpl"),
        (f"{HOOKED}def register_fusions(): return 3", "TypeError"),
        (f"{HOOKED}def register_fusions(): return []", "its hooks return nothing"),
        (f"{HOOKED}def register_fusion(): return []", "Did you mean 'register_fusions'"),
        (GOOD.replace('"first"', '"gated"'), "'gated' is registered by both mmbench and bad.py"),
        (f'mmbench_api = ">=9"\n{GOOD}', "requires mmbench API >=9"),
        ("raise SystemExit(3)", "SystemExit: 3 ("),
    ],
)
def test_what_mmbench_would_not_take_in_is_a_broken_promise(
    tmp_path: Path, code: str, message: str
) -> None:
    (tmp_path / "bad.py").write_text(code)
    done = mmbench(tmp_path, "plugins", "check", "bad.py", "--json")
    (component,) = json.loads(done.stdout)["components"]
    (promise,) = component["promises"]
    assert done.returncode == 1 and component["kind"] == "plugin"
    assert message in promise["message"]


def test_a_plugin_may_do_nothing_but_listen(tmp_path: Path) -> None:
    (tmp_path / "ears.py").write_text(f"{HOOKED}def trial_finished(spec, result): pass")
    done = mmbench(tmp_path, "plugins", "check", "ears.py")
    assert done.returncode == 0 and "plugin ears: 1 of 1 promises kept" in done.stdout


def test_a_file_may_be_called_like_a_library(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text(GOOD)
    assert mmbench(tmp_path, "plugins", "check", "random.py").returncode == 0
    assert sys.modules["random"] is random


def test_the_file_of_an_installed_plugin_is_that_plugin(site: Site) -> None:
    file = site.install("my-fusion", fusion("mine"))
    done = mmbench(site.folder, "plugins", "check", str(file), "--json")
    (component,) = json.loads(done.stdout)["components"]
    assert component["name"] == "mine", "it clashes with itself"


def test_a_component_of_any_kind_is_checked_by_its_name(tmp_path: Path) -> None:
    for name, kind in (("linear", "head"), ("conv1d", "encoder"), ("accuracy", "metric")):
        done = mmbench(tmp_path, "plugins", "check", name)
        assert done.returncode == 0 and f"{kind} {name}: " in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("what", "message"),
    [("concatt", "Did you mean 'concat'?"), ("none.py", "There is no file none.py")],
)
def test_what_is_not_there_is_named(tmp_path: Path, what: str, message: str) -> None:
    done = mmbench(tmp_path, "plugins", "check", what)
    assert done.returncode == 2 and message in done.stderr


def test_plugins_alone_still_lists_them(tmp_path: Path) -> None:
    assert "built in" in mmbench(tmp_path, "plugins").stdout
    assert isinstance(json.loads(mmbench(tmp_path, "plugins", "--json").stdout), list)
