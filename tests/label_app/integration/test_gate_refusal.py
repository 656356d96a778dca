"""A candidate that the gate refuses, as a client of the real server sees it: told, with reasons, and not served.

The contours of the frozen set are the masks of the model in use, so every other model is worse on it.
"""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from igtv.inference.case_segmenter import CaseSegmenter

from ..waiting import wait_for
from .conftest import PATIENTS_KEPT_APART, TRAINING_PATIENTS, command, infer

SHORT_TRAINING = {"max_epochs": 2, "samples_per_epoch": 6, "device": "cpu"}


@pytest.fixture
def unbeatable(patients, bundle_dir, tmp_path) -> Path:
    """Datalist of the patients kept apart, each with the shipped model's own mask as contour."""
    folder = Path(shutil.copytree(patients / "frozen", tmp_path / "unbeatable"))
    segmenter = CaseSegmenter(bundle_dir, "cpu")
    for patient in PATIENTS_KEPT_APART:
        home = folder / patient
        found = segmenter.segment(bundle_dir / "models" / "model.pt", home / "ct.nii.gz", home / "pet.nii.gz")
        assert found.mask.any()
        nib.save(nib.Nifti1Image(found.mask.astype(np.uint8), found.affine), home / "label.nii.gz")
    return folder / "dataset.json"


def test_a_refused_candidate_is_told_and_not_served(server_process, own_studies, patients, unbeatable, tmp_path):
    options = {"frozen_set": unbeatable, "gate_margin": "0", "device": "cpu", "warm_up": "false"}
    conf = [part for name, value in options.items() for part in ("--conf", name, str(value))]
    server = server_process(own_studies, *conf, name="gate").start()
    client = server.client(tmp_path / "client")
    before, answer = infer(client, TRAINING_PATIENTS[0])
    assert answer["model"]["version"] == 1
    for case in TRAINING_PATIENTS:
        info = {"label_info": [{"name": "igtv", "idx": 1}]}
        client.save_label(case, str(patients / "labels" / f"{case}.nii.gz"), "final", info)
    client.train_start("igtv", dict(SHORT_TRAINING))
    wait_for(lambda: not client.train_status(check_if_running=True), 600, "fine-tuning")
    record, stats = client.train_status(), client.info()["train_stats"]["igtv"]
    assert record["status"] == "DONE" and "igtv v0002 refused: mean Dice" in record["details"][-1]
    assert stats["accepted"] is False and stats["version"] == 2 and stats["model"] == "igtv v0001"
    assert stats["dice"]["current"] == stats["best_metric"] == pytest.approx(1.0)
    assert stats["dice"]["candidate"] < 1 and "is lower than 1.000 of the current model" in stats["reasons"][0]

    versions = own_studies / "igtv" / "models" / "igtv" / "versions"
    gate = json.loads((versions / "v0002" / "report" / "gate.json").read_text())
    assert gate["accepted"] is False and gate["reasons"] == stats["reasons"]
    assert {row["case"] for row in gate["cases"]} == set(PATIENTS_KEPT_APART)
    assert (versions / "v0002" / "report" / "report.html").is_file()
    listed = json.loads(command("models", "list", "--studies", own_studies, "--model", "igtv", "--json"))["igtv"]
    assert [(one["version"], one["current"], one["status"]) for one in listed[:2]] == [
        (1, True, "accepted"),
        (2, False, "refused"),
    ]
    assert listed[1]["reasons"] == stats["reasons"] and listed[1]["cases"] == sorted(TRAINING_PATIENTS)

    assert server.stop()
    server.start()  # a new process computes its masks anew
    after, answer = infer(client, TRAINING_PATIENTS[0])
    assert answer["model"]["version"] == 1 and after == before
    assert client.info()["models"]["igtv"]["version"] == "1"
    assert server.stop()
