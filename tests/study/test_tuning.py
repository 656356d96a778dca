"""Choice of settings by validation Dice: the networks that are compared choose together."""

import pytest
from igtv.study.branch import Branch
from igtv.study.cost import placeholder_phantom
from igtv.study.plan import plan_from
from igtv.study.store import load_json
from igtv.study.tuning import TUNING_FILE, chosen_settings, run_tuning

HIGH, LOW = {"learning_rate": 0.001}, {"learning_rate": 0.0003}


class KnownResults:
    """A runner whose trainings have been done: validation Dice by a part of the unit's name; what is missing failed."""

    def __init__(self, dice: dict[str, float]) -> None:
        self.dice, self.asked = dice, []

    def run(self, units, title):
        self.asked = [unit.name for unit in units]
        found = [next((value for part, value in self.dice.items() if part in name), None) for name in self.asked]
        return [None if value is None else {"best_val_dice": value} for value in found]


@pytest.fixture
def branch(choices, tmp_path):
    tuning = {"seed": 100, "scratch": [HIGH, LOW], "pretrained": [HIGH, LOW], "moved": [HIGH]}
    plan = plan_from(choices("full", tuning=tuning))
    return Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)


DICE = {
    "scratch": 0.5,
    "pretrained_rectified_B/candidate0": 0.70,
    "pretrained_rectified_B/candidate1": 0.69,
    "pretrained_rectified_none/candidate0": 0.60,
    "pretrained_rectified_none/candidate1": 0.64,
    "pretrained_segresnet/candidate0": 0.52,
    "pretrained_segresnet/candidate1": 0.51,
}


def test_main_networks_take_what_is_best_for_their_mean(branch):
    run_tuning(branch, KnownResults(DICE), list(branch.plan.architectures))
    chosen = chosen_settings(branch)
    for name in ("rectified_B", "rectified_none", "cipa_B", "cipa_none"):
        assert chosen[f"pretrained_{name}"] == LOW  # 0.65 against 0.665, though rectified_B alone would take the other
    assert chosen["pretrained_segresnet"] == HIGH
    assert chosen["scratch_rectified_B"] == chosen["scratch_long_rectified_B"] == HIGH  # of equals the first
    table = load_json(branch.folder / "A" / TUNING_FILE)["pretrained_rectified_B"]
    assert table["validation_dice"] == [0.70, 0.69]
    assert table["mean_validation_dice"] == pytest.approx([0.65, 0.665])


def test_one_of_the_main_networks_asks_for_both(branch):
    runner = KnownResults(DICE)
    run_tuning(branch, runner, ["cipa_B"])
    assert len(runner.asked) == 8 and not any("segresnet" in name or "cipa" in name for name in runner.asked)
    assert chosen_settings(branch)["pretrained_cipa_none"] == LOW


def test_a_candidate_that_failed_leaves_the_choice_open(branch):
    dice = {name: value for name, value in DICE.items() if name != "pretrained_rectified_none/candidate1"}
    run_tuning(branch, KnownResults(dice), list(branch.plan.architectures))
    chosen = chosen_settings(branch)
    assert "pretrained_rectified_B" not in chosen and "pretrained_cipa_none" not in chosen
    assert "pretrained_segresnet" in chosen and "scratch_rectified_none" in chosen
