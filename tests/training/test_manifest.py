import json

import igtv.training.manifest as module
import pytest
import torch
from igtv.training.manifest import TrainingManifest
from igtv.training.starting_weights import StartingWeights


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    cases = []
    for name in ("A", "B"):
        case = {"case": name}
        for key in ("ct", "pet", "label"):
            path = tmp_path / "data" / name / f"{key}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{name} {key}".encode())
            case[key] = str(path)
        cases.append(case)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.pt")
    monkeypatch.setattr(module, "running_settings", lambda: {"seed": 5, "dataset_dir": str(tmp_path / "data")})
    monkeypatch.setattr(module, "resolved_item", lambda key: {"left_out": ["C: no PET"]})
    return TrainingManifest(tmp_path, torch.device("cpu"), cases[:1], cases[1:])


def test_a_run_says_with_what_on_what_and_how_it_was_done(manifest, tmp_path):
    manifest(seconds=12.345, results={"best_epoch": 2, "best_val_dice": 0.5})
    content = json.loads((tmp_path / "run_manifest.json").read_text())
    assert content["command"] == "training" and content["device"] == "cpu" and content["seconds"] == 12.35
    assert content["config"] == {"seed": 5, "dataset_dir": "data"}  # folders may name people
    assert content["cases"] == {"training": ["A"], "validation": ["B"]} and content["left_out"] == ["C: no PET"]
    assert content["results"] == {"best_epoch": 2, "best_val_dice": 0.5}
    assert content["data"]["cases"] == 2 and len(content["data"]["sha256"]) == 64
    assert content["model"]["file"] == "model.pt" and len(content["model"]["sha256"]) == 64
    assert content["scan"] and {"torch", "monai", "bundle"} <= set(content["versions"])


def test_what_the_starting_weights_learned_counts_as_learned(manifest, tmp_path):
    """A trained this time, P0 to P2 before; an evaluation of any of them is no test of new patients."""
    manifest(seconds=1.0, results={})
    alone = json.loads((tmp_path / "run_manifest.json").read_text())
    assert set(alone["images_sha256"]) == {"A"} and "started_from" not in alone
    earlier = {f"P{number}": str(number) * 64 for number in range(3)}
    manifest.start = StartingWeights("GTV model", "f" * 64, "phantoms", images_sha256=earlier)
    manifest(seconds=1.0, results={})
    content = json.loads((tmp_path / "run_manifest.json").read_text())
    assert content["started_from"] == {"name": "GTV model", "sha256": "f" * 64}
    assert content["images_sha256"] == {**alone["images_sha256"], **earlier}
    assert content["cases"] == {"training": ["A"], "validation": ["B"]}


def test_settings_of_a_resume_name_the_cases(manifest):
    settings = manifest.settings()
    assert settings["seed"] == 5
    assert settings["training cases"] == ["A"] and settings["validation cases"] == ["B"]
