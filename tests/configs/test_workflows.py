"""Every config offers what MONAI's consumers ask for, runs, and says clearly when it is used wrongly."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, run

OVERLAYS = [
    "finetune",
    "evaluate",
    "multi_gpu_train",
    "baselines/segresnet",
    "baselines/dynunet",
    "baselines/slices_2d",
]


def workflow(files, kind, **overrides):
    made = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **overrides)
    made.initialize()
    return made


@pytest.mark.parametrize("names", [("train",), ("train", "evaluate"), ("train", "finetune")])
def test_training_configs_offer_every_property(config_files, tiny_training, names):
    assert workflow(config_files(*names), "train", **tiny_training).check_properties() == []


def test_inference_offers_every_property(config_files, tiny):
    assert workflow(config_files("inference"), "infer", **tiny).check_properties() == []
