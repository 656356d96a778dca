"""The choices of a study: what is refused, and that the shipped full study is what the documents say."""

from dataclasses import replace

import pytest
from igtv.files import write_json
from igtv.study.branch import Branch, breathing_branches
from igtv.study.cost import measured_cost, placeholder_patients, placeholder_phantom, projected_hours, study_size
from igtv.study.plan import TRAINED, plan_from, split_arm
from igtv.study.tuning import TUNING_FILE, chosen_settings

RULE = {
    **{"name": "H", "question": "?", "metric": "dice", "above": 0.0},
    **{"first": "pretrained_segresnet", "second": "scratch_segresnet"},
}


def test_the_shipped_full_study_is_the_one_that_was_announced(choices):
    plan = plan_from(choices("full"))
    assert list(plan.sizes) == [5, 10, 20, 40] and plan.main_size == 10
    assert len(plan.seeds) >= 3 and plan.testing_cases >= 100
    assert set(plan.architectures) == {
        *("rectified_B", "rectified_A", "rectified_none"),
        *("cipa_B", "cipa_none", "segresnet"),
    }
    assert plan.scratch_steps >= plan.finetuning_steps
    assert plan.pretraining_phantom_settings["amplitude_median_mm"] is None  # GTV cases hardly move
    hoped = {rule["name"]: rule.get("hoped") for rule in plan.hypotheses}
    assert hoped == {"H1": 0.08, "H2": 0.05, "H3": 0.08, "H4": None}
    assert len({len(plan.tuning[init]) for init in TRAINED}) == 1  # as many tries for all


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "tiny"}, "scale='tiny'"),
        ({"main_size": 3}, "main_size=3 is not among sizes"),
        ({"seeds": [1, 1]}, "none twice"),
        ({"pool_cases": 1}, r"pool_cases=1: sizes=\[1, 2\] need 2"),
        ({"sizes": [0, 2]}, "sizes is 0: a whole number from 1"),
        ({"resamples": 0}, "resamples is 0"),
        ({"breathing_validation_patients": 0}, "breathing_validation_patients is 0"),
        ({"margins_in_plane_mm": []}, "margins_in_plane_mm"),
        ({"breathing": {"cycles_per_case": 1}}, "breathing#seed is None"),
        ({"breathing": {"seed": 1, "cycles_per_case": 1, "amplitude_mm": 1}}, "did you mean 'amplitude_"),
        ({"phantom_settings": {"spacing": 2}}, "phantom_settings: unknown key 'spacing'"),
        ({"recipe": {"epochs": 2, "val_interval": 1}}, "the last weights are taken"),
        ({"pretraining_settings": {"epochs": 20}}, "pretraining_settings: val_interval must not be less than epochs"),
        ({"recipe": {"val_interval": 2}}, "recipe: val_interval must not be less than epochs"),  # train.json has 8
        ({"tuning": {"scratch": [{}], "pretrained": [{}], "moved": [{}]}}, "tuning#seed is None"),
        ({"recipe": {"samples_per_epoch": 2}}, "the study itself sets 'samples_per_epoch'"),
        ({"expected": {"zero_shot": [0, 1]}}, "expected needs"),
        ({"scratch_steps": 2, "finetuning_steps": 4}, "must not get less"),
        ({"recipe": {"epochs": 2, "learing_rate": 0.1}}, "did you mean 'learning_rate'"),
        ({"scratch_settings": {"model_path": "model.pt"}}, "the study itself sets 'model_path'"),
        ({"main_architectures": ["unet"]}, "not among"),
        ({"tuning": {"seed": 0, "scratch": [], "pretrained": []}}, "tuning seed 0 is among"),
        ({"phantom_seeds": dict.fromkeys(("pretraining", "pool", "validation", "testing", "calibration"), 1)}, "share"),
        (
            {"hypotheses": [RULE | {"first": "pretrained_unet"}]},
            "'pretrained_unet' is no arm",
        ),
        ({"hypotheses": [RULE | {"second": "perfect_gtv"}]}, "'perfect_gtv' is no arm to decide on"),
        ({"hypotheses": [RULE | {"control": "margin_rectified_B"}]}, "'margin_rectified_B' has no validation"),
        ({"hypotheses": [RULE | {"metric": "dise"}]}, "metric 'dise' is not among dice, "),
        ({"hypotheses": [RULE | {"no_loss_metric": "dice"}]}, "go together"),
        ({"hypotheses": [RULE | {"hopped": 0.1}]}, "unknown key 'hopped'"),
        ({"hypotheses": [{"name": "H"}]}, "hypothesis H lacks 'above'"),
    ],
)
def test_choices_that_cannot_be_are_named(choices, changes, message):
    with pytest.raises(ValueError, match=message):
        plan_from(choices(**changes))


def test_arms_differ_in_nothing_unasked(choices, tmp_path):
    """finetune.json brings sampling, epochs and freezing of its own: a pre-trained arm must not get them by it."""
    plan = plan_from(choices("full"))
    branch = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    cells = {cell.arm: cell for cell in branch.network_cells() if cell.size == 10 and cell.seed == 0}
    scratch, pretrained = (branch.arm(cells[f"{init}_rectified_B"], {}) for init in ("scratch", "pretrained"))
    samples = [unit.work["settings"]["samples_per_epoch"] for unit in (scratch, pretrained)]
    assert samples == [2 * plan.scratch_steps // 10, 2 * plan.finetuning_steps // 10]  # ten epochs, batches of two
    asked = {"samples_per_epoch": samples[1], **plan.finetuning_settings}
    assert scratch.work["settings"] | asked == pretrained.work["settings"]
    assert {"frozen_epochs", "end_probability", "epochs", "learning_rate"} <= set(scratch.work["settings"])
    assert scratch.work["training"] == pretrained.work["training"]
    assert scratch.work["model_path"] is None
    assert pretrained.work["model_path"].endswith("A/pretraining/rectified_B/seed0/model.pt")
    without = branch.arm(cells["scratch_rectified_none"], {}).work["settings"]
    assert {key for key, value in without.items() if scratch.work["settings"].get(key) != value} == {"sim"}


def test_seeds_label_other_patients_also_where_a_study_has_the_main_size_alone(choices, tmp_path):
    plan = plan_from(choices("full", sizes=[10]))
    branch = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    labelled = [
        frozenset(case["patient"] for case in branch.arm(cell, {}).work["training"])
        for cell in branch.network_cells()
        if cell.arm == "scratch_rectified_B"
    ]
    assert len(set(labelled)) == len(labelled) == 3 and all(len(patients) == 10 for patients in labelled)


def test_every_seed_of_a_main_network_has_a_pretraining_of_its_own(choices, tmp_path):
    plan = plan_from(choices("full"))
    branch = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    for cell in branch.network_cells():
        init, architecture = split_arm(cell.arm)
        if init in ("pretrained", "moved"):
            (source,) = branch.arm(cell, {}).needs
            own = cell.seed if architecture in plan.main_architectures else 0
            assert source.name.endswith(f"/seed{own}") and source.work["seed"] == own
            assert ("/pretraining_moved/" in source.name) is (init == "moved")
    assert len(branch.pretrainings()) == 2 * 2 * 3 + 4
    assert branch.candidate("pretrained", "rectified_B", 0).needs == (branch.pretraining("rectified_B", 0),)


def test_a_pretraining_with_breathing_differs_in_the_breathing_and_in_what_it_segments(choices, tmp_path):
    plan = plan_from(choices("full"))
    branch = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    still, moved = (branch.pretraining("rectified_B", 1, moved).work for moved in (False, True))
    assert moved["settings"] == {**still["settings"], "breathing_probability": 1.0}
    assert (still["task"], moved["task"]) == ("gtv", "igtv") and moved["training"] == still["training"]
    assert split_arm("moved_zero_shot_rectified_B") == ("moved_zero_shot", "rectified_B")
    assert split_arm("moved_rectified_B") == ("moved", "rectified_B")
    assert "moved_cipa_B" not in plan.arms() and "moved_rectified_none" in plan.arms()


def test_the_long_control_has_all_the_steps_and_the_settings_of_scratch(choices, tmp_path):
    plan = plan_from(choices("full"))
    branch = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    cells = {cell.arm: cell for cell in branch.network_cells() if cell.size == 10 and cell.seed == 1}
    long, pretrained = (branch.arm(cells[f"{init}_rectified_B"], {}) for init in ("scratch_long", "pretrained"))
    assert long.work["steps"] == pretrained.needs[0].work["steps"] + pretrained.work["steps"] == 1000
    assert long.work["model_path"] is None and long.work["training"] == pretrained.work["training"]
    assert "scratch_long_rectified_none" not in cells  # no hypothesis asks for it
    rule = {**plan.hypotheses[1], "second": "scratch_long_rectified_none"}
    assert replace(plan, hypotheses=[rule]).long_architectures() == ["rectified_none"]
    table = {f"{init}_{name}": {"settings": {"learning_rate": init}} for init in TRAINED for name in ("rectified_B",)}
    write_json(tmp_path / "A" / TUNING_FILE, table)
    assert chosen_settings(branch)["scratch_long_rectified_B"] == {"learning_rate": "scratch"}


def test_grid_is_full_at_the_main_size_and_holds_the_main_arms_elsewhere(choices, tmp_path):
    plan = plan_from(choices("full"))
    branch = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    cells = branch.network_cells()
    assert sum(cell.size == 10 for cell in cells) == (2 * 6 + 2 + 1) * 3
    assert sum(cell.size != 10 for cell in cells) == 3 * 2 * 3 * 3
    assert len(branch.candidates()) == (2 * 3 + 2) * 2  # main networks: three starts, the CNN two; two candidates each
    assert branch.tuned_with("segresnet") == ["segresnet"]
    for name in ("rectified_B", "rectified_none", "cipa_B", "cipa_none"):
        assert branch.tuned_with(name) == ["rectified_B", "rectified_none"]


def test_the_calibration_trains_with_a_candidate_of_the_tuning(choices, tmp_path):
    plan = plan_from(choices("full"))
    data = replace(placeholder_phantom(plan), calibration={"training": [], "validation": [], "testing": []})
    unit = Branch("A", plan, data, tmp_path, plan.sizes, plan.recipe).calibration_scratch("rectified_none", 100)
    assert unit.work["settings"]["learning_rate"] == plan.tuning["scratch"][0]["learning_rate"]


def test_cost_is_reckoned_from_rates():
    results = [
        {"kind": "train", "seconds": 30.0, "training_seconds": 20.0, "steps": 40, "cpu_seconds": 25.0},
        {"kind": "test_network", "seconds": 12.0, "cases": 6},
    ]
    cost = measured_cost(results, processes=2)
    assert (cost["seconds_per_step"], cost["seconds_around_training"], cost["seconds_per_tested_case"]) == (0.5, 10, 2)
    assert cost["seconds_total"] == 42 and cost["by_kind"]["train"]["cpu_seconds"] == 25
    size = {"steps": 7200, "trainings": 360, "tested_cases": 3600}
    assert projected_hours(size, cost) == pytest.approx((3600 + 3600 + 7200) / 3600 / 2)
    assert projected_hours(size, measured_cost([], 2)) is None


def test_size_of_the_full_study(choices, tmp_path):
    plan = plan_from(choices("full"))
    branch = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    size = study_size(plan, [branch])
    scratch = 6 * 3 + 2 * 3 * 3
    pretrained, moved = scratch, 2 * 3 + 2 * 3 * 3  # with breathing the main networks alone
    pretrainings = 2 * 3 * 2 + 4  # of the main networks two per seed
    long = 3  # the control of the first hypothesis, with the steps of a pre-training and of a fine-tuning
    assert size["trainings"] == pretrainings + scratch + pretrained + moved + long + 16 + 1
    scratch, tuned = scratch + 6 + 1, pretrained + 6 + moved + 4  # tuning, and the calibration's
    steps = (pretrainings + long) * plan.pretraining_steps + (tuned + long) * plan.finetuning_steps
    assert size["steps"] == steps + scratch * plan.scratch_steps


def test_size_of_the_full_study_with_patients(choices, tmp_path):
    """Of 33 patients each fold tests 11 with four cycles, five validate and know the margins, 17 are the pool."""
    plan = plan_from(choices("full"))
    folds = breathing_branches(plan, placeholder_patients(plan, 33, 11), tmp_path)
    phantom = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    alone, both = study_size(plan, [phantom]), study_size(plan, [phantom, *folds])
    assert [len(part) for part in (folds[0].data.pool, folds[0].data.testing)] == [17, 44]
    trained = 3 * 2 * 3 * 3 + 3  # starts, networks, seeds and sizes; the long control
    assert both["tested_cases"] - alone["tested_cases"] == 3 * (trained * 44 + 6 * (2 * 44 + 5))
    assert both["trainings"] - alone["trainings"] == 3 * (12 + trained + 12)


def test_cost_is_reckoned_also_where_more_is_labelled_than_the_known_patients_have(choices, tmp_path):
    """33 patients less 16 tested and 5 validating are 12, one patient too few for n = 13; the report still comes."""
    plan = plan_from(choices("full", breathing_sizes=[10, 13], breathing_folds=2))
    folds = breathing_branches(plan, placeholder_patients(plan, 33, 16), tmp_path)
    phantom = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    assert len(folds[0].data.pool) == 13 and study_size(plan, [phantom, *folds])["trainings"] > 0


def test_pretrainings_of_a_network_hold_what_its_settings_are_tuned_from(choices, tmp_path):
    """`cipa_B` takes the settings of the main networks, tuned from their own GTV models; it is never moved."""
    plan = plan_from(choices("full"))
    branch = Branch("A", plan, placeholder_phantom(plan), tmp_path, plan.sizes, plan.recipe)
    made = {unit.name for unit in branch.pretrainings(["cipa_B"])}
    assert made == {f"A/pretraining/{name}/seed0" for name in ("cipa_B", "rectified_B", "rectified_none")}
    candidates = [branch.candidate(*key) for key in branch.candidates(["cipa_B"])]
    assert {need.name for unit in candidates for need in unit.needs} <= made
    assert not any("moved" in unit.name for unit in candidates)
