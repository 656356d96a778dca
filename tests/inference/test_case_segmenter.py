"""One case as arrays, against MONAI Label's stock task on the same bundle."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from igtv.inference.case_segmenter import CaseSegmenter
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.model_card import write_model_card
from monailabel.tasks.infer.bundle import BundleInferTask

NETWORK = {"variant": "nano", "fusion": "rectified", "sim": "A", "sim_radius": 1}


@pytest.fixture(scope="module")
def bundle_copy(tmp_path_factory, bundle_dir):
    """The configs with random weights that mark some of everything."""
    root = tmp_path_factory.mktemp("bundle")
    shutil.copytree(bundle_dir / "configs", root / "configs")
    save_model(root / "models" / "model.pt", seed=0)
    return root


def save_model(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    torch.save(IGTVNetwork(**NETWORK, foreground_prior=0.5).state_dict(), path)
    settings = {"spacing_mm": (2.5, 2.5, 3.0), "hu_window": (-1000, 400), "suv_range": (0, 15)}
    write_model_card(path, name=f"random {seed}", task="gtv", network=NETWORK, **settings)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """CT in LPS order and turned by 10 degrees, PET on a coarser grid of its own."""
    folder, random = tmp_path_factory.mktemp("case"), np.random.default_rng(0)
    cosine, sine = np.cos(np.deg2rad(10)), np.sin(np.deg2rad(10))
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    for name, shape, steps in (("ct", (40, 36, 10), (-2, -2, 3)), ("pet", (22, 20, 9), (4, 4, 4))):
        affine = np.eye(4)
        affine[:3, :3] = turn @ np.diag(steps)
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        values = random.normal(-100, 300, shape) if name == "ct" else random.gamma(2, 1.5, shape)
        nib.save(
            nib.Nifti1Image(values.astype(np.int16 if name == "ct" else np.float32), affine), folder / f"{name}.nii"
        )
    return folder / "ct.nii", folder / "pet.nii"


def test_same_mask_as_the_stock_task(bundle_copy, case):
    ct, pet = map(str, case)
    task = BundleInferTask(str(bundle_copy), {}, load_strict=True)
    file, _ = task({"device": "cpu", "image": ct, "ct": ct, "pet": pet, "result_extension": ".nii.gz"})
    expected = nib.load(file)
    proposal = CaseSegmenter(bundle_copy, "cpu").segment(bundle_copy / "models" / "model.pt", ct, pet)
    mask = np.asarray(expected.dataobj) > 0
    assert 0 < mask.sum() < mask.size
    assert (proposal.mask == mask).all()
    assert np.allclose(proposal.affine, expected.affine, atol=1e-4)
    assert (mask <= (proposal.probability >= 0.5)).all()  # the mask is the largest part of what is likely


def test_volumes_on_the_grid_of_the_ct(bundle_copy, case):
    ct, pet = case
    proposal = CaseSegmenter(bundle_copy, "cpu").segment(bundle_copy / "models" / "model.pt", ct, pet)
    image = nib.load(ct)
    assert (proposal.ct_hu == np.asarray(image.dataobj)).all()
    assert proposal.pet_suv.shape == proposal.probability.shape == image.shape
    assert proposal.card["name"] == "random 0"
    assert proposal.nbytes == image.shape[0] * image.shape[1] * image.shape[2] * (2 + 1 + 2 + 2)


def test_each_model_by_its_card(bundle_copy, case, tmp_path):
    """Two models in turn; one that was replaced on disk is loaded again."""
    segmenter = CaseSegmenter(bundle_copy, "cpu")
    first = segmenter.segment(bundle_copy / "models" / "model.pt", *case)
    save_model(tmp_path / "model.pt", seed=1)
    other = segmenter.segment(tmp_path / "model.pt", *case)
    assert other.card["name"] == "random 1" and not np.array_equal(other.probability, first.probability)
    assert np.array_equal(segmenter.segment(bundle_copy / "models" / "model.pt", *case).probability, first.probability)
    save_model(tmp_path / "model.pt", seed=2)
    assert segmenter.segment(tmp_path / "model.pt", *case).card["name"] == "random 2"


def test_weights_that_do_not_fit_are_refused(bundle_copy, case, tmp_path):
    """Never in part, as MONAI Label does by default."""
    save_model(tmp_path / "model.pt", seed=3)
    card = json.loads((tmp_path / "model.json").read_text())
    card["network"]["fusion"] = "cipa"
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="wrong checkpoint"):
        CaseSegmenter(bundle_copy, "cpu").segment(tmp_path / "model.pt", *case)


def test_missing_pet(bundle_copy, case, tmp_path):
    with pytest.raises(FileNotFoundError, match="the PET is missing"):
        CaseSegmenter(bundle_copy, "cpu").segment(bundle_copy / "models" / "model.pt", case[0], tmp_path / "pet.nii")
