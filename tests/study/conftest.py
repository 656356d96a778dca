"""A study of seconds: coarse phantoms, two steps per training, everything in this process."""

import json
from dataclasses import fields

import pytest
from igtv.learning.work import CONFIGS_DIR
from igtv.study.plan import StudyPlan, plan_from
from monai.bundle import ConfigParser

COARSE = {"image_size": [56, 42, 24], "spacing_mm": [6.0, 6.0, 5.0], "pet_spacing_mm": [6.0, 6.0, 5.0]}
TINY = {
    "sizes": [1, 2],
    "breathing_sizes": [1, 2],
    "main_size": 2,
    "pretraining_cases": 2,
    "pretraining_validation_cases": 1,
    "pool_cases": 2,
    "validation_cases": 1,
    "testing_cases": 2,
    "calibration_testing_cases": 2,
    "breathing_validation_patients": 1,
    "phantom_settings": COARSE,
    "pretraining_steps": 2,
    "breathing_pretraining_steps": 2,
    "finetuning_steps": 2,
    "scratch_steps": 2,
    "resamples": 200,
}
COARSE_RECIPE = {
    "spacing_mm": [6.0, 6.0, 5.0],
    "patch_size": [64, 64],
    "num_slices": 3,
    "epochs": 2,
    "batch_size": 1,
    "val_interval": 2,
    "warmup_epochs": 0,
}


@pytest.fixture(scope="session", autouse=True)
def small_work(one_thread):
    """All of these tests compute on such small patches that one thread is fastest."""


@pytest.fixture(scope="session")
def choices():
    """`choices(**changes)`: the fields of a plan as the shipped config has them for the small study, made tiny."""

    def make(scale: str = "small", **changes) -> dict:
        parser = ConfigParser()
        parser.read_config(str(CONFIGS_DIR / "study_transfer.json"))
        parser["scale"] = scale
        values = {field.name: parser.get_parsed_content(field.name) for field in fields(StudyPlan)}
        values = json.loads(json.dumps(values))
        if scale == "small":
            values |= TINY
            values["recipe"] |= COARSE_RECIPE
            values["architectures"]["segresnet"]["network"] = {"num_slices": 8}
        return values | changes

    return make


@pytest.fixture(scope="session")
def plan(choices) -> StudyPlan:
    return plan_from(choices())
