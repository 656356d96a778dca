"""What a user's mistake says, in the errors that reach the terminal, before anything is trained."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from igtv.networks.igtv_network import IGTVNetwork


@pytest.fixture
def broken(tiny_phantom, tmp_path):
    """A copy of the phantom to break; gives its folder, its datalist and the first training case of fold 0."""
    folder = tmp_path / "broken"
    shutil.copytree(tiny_phantom, folder)
    listing = json.loads((folder / "dataset.json").read_text())
    item = next(item for item in listing["training"] if item["fold"] != 0)
    return folder, listing, item


@pytest.fixture
def refused(train, tmp_path, error_text):
    """Text of the error with which a training refuses to start."""

    def run(**overrides):
        with pytest.raises(RuntimeError) as caught:
            train(tmp_path / "out", **overrides)
        assert not (tmp_path / "out" / "checkpoint.pt").exists()
        return error_text(caught.value)

    return run


def test_missing_file(refused, broken):
    folder, _, item = broken
    (folder / item["pet"]).unlink()
    text = refused(dataset_dir=str(folder))
    assert f"{item['patient_id']}: pet {folder / item['pet']} does not exist" in text


def test_pet_that_is_not_suv(refused, broken):
    folder, _, item = broken
    pet = nib.load(folder / item["pet"])
    nib.save(nib.Nifti1Image(pet.get_fdata(dtype=np.float32) * 5000, pet.affine), folder / item["pet"])
    text = refused(dataset_dir=str(folder))
    assert f"{item['patient_id']}: pet" in text and "is not in SUV" in text and "Bq/ml" in text


def test_case_without_label(refused, broken):
    folder, listing, item = broken
    del item["label"]
    (folder / "dataset.json").write_text(json.dumps(listing))
    text = refused(dataset_dir=str(folder))
    assert f"{item['patient_id']}: it has no `label`" in text and "skip_bad_cases" in text


def test_bad_cases_can_be_left_out(train, broken, tmp_path):
    folder, _, item = broken
    (folder / item["pet"]).unlink()
    train(tmp_path / "out", dataset_dir=str(folder), skip_bad_cases=True, epochs=1, samples_per_epoch=1)
    manifest = json.loads((tmp_path / "out" / "run_manifest.json").read_text())
    assert item["patient_id"] in manifest["left_out"][0]
    assert item["patient_id"] not in manifest["cases"]["training"]


def test_missing_datalist(refused, tmp_path, tiny_phantom):
    text = refused(datalist=str(tiny_phantom / "mine.json"))
    assert f"datalist {tiny_phantom / 'mine.json'} does not exist" in text


def test_wrong_checkpoint(refused, tmp_path):
    weights = tmp_path / "other.pt"
    torch.save(IGTVNetwork(sim="B").state_dict(), weights)
    text = refused(model_path=str(weights))
    assert "wrong checkpoint" in text and "check variant, fusion and sim" in text and "sim.0" in text


def test_checkpoint_that_is_none(refused, tmp_path):
    weights = tmp_path / "other.pt"
    weights.write_text("no weights")
    assert "is not a checkpoint that can be read safely" in refused(model_path=str(weights))


def test_misspelt_key(refused, tmp_path):
    assert "unknown key 'epohcs', did you mean 'epochs'?" in refused(epohcs=3)


def test_weights_without_their_card(run_verb, trained, tiny_phantom, tmp_path, error_text):
    shutil.copy(trained / "model.pt", tmp_path / "model.pt")
    settings = {"model_path": str(tmp_path / "model.pt"), "datalist": str(tiny_phantom / "dataset.json")}
    with pytest.raises(RuntimeError) as caught:
        run_verb("inferring", ["inference.json"], output_dir=str(tmp_path / "out"), device="cpu", **settings)
    assert "No model card" in error_text(caught.value)


def test_unknown_fold(refused, tmp_path):
    assert "fold=7 is not among the folds [0, 1]" in refused(fold=7)
