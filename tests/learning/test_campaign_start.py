"""All strategies of a campaign in one go, from one start that is measured once; training and masks are stand-ins."""

import json
import shutil
from pathlib import Path

import pytest
from igtv.evaluation.tables import METRICS_FILE, read_rows, write_rows
from igtv.learning import work
from igtv.learning.campaign import Choice, run_campaign
from igtv.learning.registry import ModelRegistry
from igtv.learning.selection import CaseScore
from igtv.networks.model_card import model_card_path

STRATEGIES = ("uncertainty", "diverse", "random")
START_DICE, GAIN = 0.3, 0.1


@pytest.fixture
def verbs(monkeypatch):
    """The verbs of the bundle without a network: weights are copied, every training adds to the Dice.

    `verbs` holds (verb, settings) of every run.
    """
    asked = []

    def run_verb(verb, names, settings):
        asked.append((verb, settings))
        folder = Path(settings["output_dir"])
        folder.mkdir(parents=True)
        if verb == "finetuning":
            for path in (Path(settings["model_path"]), model_card_path(settings["model_path"])):
                shutil.copyfile(path, folder / path.name)
            return
        if settings["compare"]:
            read_rows(settings["compare"])
        trained = "versions" not in Path(settings["model_path"]).parts
        dice = START_DICE + GAIN * trained
        names = [item["patient_id"] for item in json.loads(Path(settings["datalist"]).read_text())["validation"]]
        write_rows(folder / METRICS_FILE, [{"case": name, "dice": dice} for name in names])

    monkeypatch.setattr(work, "run_verb", run_verb)
    monkeypatch.setattr(Choice, "_score", lambda self, model, case: CaseScore(0.5, 1.0, (float(len(case["case"])),)))
    return asked


def evaluated(verbs) -> list[str]:
    """Weights of every evaluation."""
    return [settings["model_path"] for verb, settings in verbs if verb == "evaluating"]


def training_seeds(verbs, home: str) -> list[int]:
    """Seeds of the trainings of one campaign, in their order."""
    settings = [settings for verb, settings in verbs if verb == "finetuning"]
    return [entry["seed"] for entry in settings if home in Path(entry["output_dir"]).parts]


def of_start(paths: list[str]) -> list[str]:
    return [path for path in paths if "/versions/v0001/" in path]


def test_the_start_is_measured_once_for_all_strategies_and_seeds(verbs, phantom_dir, weak_model, tmp_path):
    folder = tmp_path / "campaign"
    rows = run_campaign(
        folder,
        phantom_dir,
        phantom_dir / "dataset.json",
        weak_model,
        strategies=STRATEGIES,
        rounds=2,
        cases_per_round=1,
        repeats=2,
        device="cpu",
        own_process=False,
    )
    assert len(of_start(evaluated(verbs))) == 1
    assert len(evaluated(verbs)) == 1 + len(STRATEGIES) * 2 * 2  # and every candidate once
    first = [row for row in rows if row["round"] == 0]
    assert [(row["strategy"], row["seed"]) for row in first] == [(name, seed) for name in STRATEGIES for seed in (0, 1)]
    assert {row["dice"] for row in first} == {START_DICE}
    assert len(rows) == len(STRATEGIES) * 2 * 3
    for name in STRATEGIES:  # a repeat trains with seeds of its own: its number, and that of the versions there are
        assert [training_seeds(verbs, f"{name}_{seed}") for seed in (0, 1)] == [[1, 2], [2, 3]]
    for name in STRATEGIES:
        for seed in (0, 1):
            registry = ModelRegistry(folder / f"{name}_{seed}")
            version = registry.version(1)
            assert version.metrics["dice"] == pytest.approx(START_DICE)
            assert registry.version(2).decision["dice"]["difference"] == pytest.approx(GAIN)
            assert registry.version(2).status == "accepted"


def test_the_verb_runs_all_strategies_in_one_go(verbs, run_config, phantom_dir, weak_model, tmp_path):
    """As the config has them."""
    folder = tmp_path / "campaign"
    settings = {"dataset_dir": str(phantom_dir), "model_path": str(weak_model), "output_dir": str(folder)}
    run_config("campaigning", "campaign.json", **settings, rounds=1, device="cpu")
    rows = json.loads((folder / "campaign.json").read_text())["rounds"]
    assert list(dict.fromkeys(row["strategy"] for row in rows)) == list(STRATEGIES)
    assert len(of_start(evaluated(verbs))) == 1
    assert (folder / "campaign.csv").is_file() and (folder / "campaign.png").is_file()
