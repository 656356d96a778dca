"""`python -m label_app models ...`: what it prints, what it changes, what it refuses."""

import json
import os
import subprocess
import sys

import pytest
from igtv.learning.registry import ModelRegistry
from lib.models_cli import main
from lib.paths import data_folders


@pytest.fixture
def registry(tmp_path, bundle_dir):
    """Two accepted versions and a refused one below the studies in `tmp_path`."""
    shipped = bundle_dir / "models" / "model.pt"
    made = ModelRegistry(data_folders(str(tmp_path)).make().models, "igtv")
    made.seed(shipped, "the start")
    cases = [{"case": "p1", "label_sha256": "x"}]
    second = made.add(shipped, {"data": cases}, {"dice": 0.7, "cases": {"f1": 0.7}, "frozen_sha256": "a"})
    made.accept(second, {"reasons": ["mean Dice 0.700, +0.100 against the current model"]})
    third = made.add(shipped, {"data": cases}, {"dice": 0.4, "cases": {"f1": 0.4}, "frozen_sha256": "a"})
    made.refuse(third, {"reasons": ["f1 falls from 0.700 to 0.400"]})
    return made


def run(registry, *arguments):
    return main([*arguments, "--studies", str(registry.folder.parents[2])])


def test_list_marks_the_current_version(registry, capsys):
    assert run(registry, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("igtv: current is v0002")
    marked = [line for line in lines if line.startswith("*")]
    assert len(marked) == 1 and "v0002" in marked[0] and "0.700" in marked[0]
    assert "refused" in lines[-1] and "f1 falls" in lines[-1]


def test_list_for_programs(registry, capsys):
    assert run(registry, "list", "--json") == 0
    content = json.loads(capsys.readouterr().out)["igtv"]
    assert [entry["status"] for entry in content] == ["accepted", "accepted", "refused"]
    assert content[1]["current"] and content[1]["cases"] == ["p1"]


def test_compare_shows_every_frozen_case(registry, capsys):
    assert run(registry, "compare", "2", "v0003") == 0
    text = capsys.readouterr().out
    assert "f1           0.700       0.400       -0.300" in text
    assert run(registry, "compare", "1", "2") == 0
    assert "were not measured on the same frozen set" in capsys.readouterr().out


def test_compare_says_when_masks_were_made_otherwise(registry, bundle_dir, capsys):
    metrics = {"dice": 0.8, "cases": {"f1": 0.8}, "frozen_sha256": "a", "masks": {"lesions": "all"}}
    registry.add(bundle_dir / "models" / "model.pt", {}, metrics)
    assert run(registry, "compare", "2", "4") == 0
    assert "same choice of lesions" in capsys.readouterr().out


def test_rollback_changes_the_current_version_and_says_who(registry, capsys):
    assert run(registry, "rollback", "--user", "anna") == 0
    assert "igtv v0001 is current (igtv v0002 was)" in capsys.readouterr().out
    assert registry.current().number == 1 and registry.history()[-1]["user"] == "anna"
    assert run(registry, "rollback", "2") == 0
    assert registry.current().number == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["rollback", "3"], "was not accepted"),
        (["rollback", "9"], "has no version 9"),
        (["compare", "1", "../x"], "is no version"),
        (["list", "--model", "other"], "there is no model 'other'"),
    ],
)
def test_mistakes_are_told(registry, capsys, arguments, text):
    assert run(registry, *arguments) == 1
    assert text in capsys.readouterr().err
    assert registry.current().number == 2


def test_folders_without_models_and_without_a_name(tmp_path, capsys):
    assert main(["list", "--studies", str(tmp_path)]) == 1
    assert "holds no models" in capsys.readouterr().err
    assert main(["list"]) == 1
    assert "--studies" in capsys.readouterr().err


def test_as_a_program(registry, label_app_dir):
    """Without the bundle on the path: the app finds it."""
    command = [sys.executable, "-m", "label_app", "models", "list", "--studies", str(registry.folder.parents[2])]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=label_app_dir.parent, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "current is v0002" in done.stdout
