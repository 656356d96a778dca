"""The deterministic list of the configs: geometry, units, and the way back to the CT's own grid."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Invertd

TRAIN_CONFIG = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "train.json"
TRANSFORMS = json.loads(TRAIN_CONFIG.read_text())["train"]["deterministic_transforms"]
SHAPE = (48, 40, 24)
BLOB_MM = np.array([12.0, -18.0, 25.0])
BLOB_SIGMA_MM = 7.0
ANGLE = np.radians(12)
TILT = np.array([[1, 0, 0], [0, np.cos(ANGLE), -np.sin(ANGLE)], [0, np.sin(ANGLE), np.cos(ANGLE)]])


def centred(rotation_scaling, shape=SHAPE):
    """Affine whose volume centre lies at the world position (5, -10, 20)."""
    affine = np.eye(4)
    affine[:3, :3] = rotation_scaling
    affine[:3, 3] = np.array([5.0, -10, 20]) - rotation_scaling @ (np.array(shape) - 1) / 2
    return affine


CT_GRIDS = {
    "RAS": centred(np.diag([2.0, 2.0, 3.0])),
    "LPS": centred(np.diag([-2.0, -2.0, 3.0])),
    "flipped z": centred(np.diag([-2.0, 2.0, -3.0])),
    "other spacing": centred(np.diag([1.5, 1.5, 3.3])),
    "oblique": centred(TILT @ np.diag([-2.0, -2.0, 3.0])),
    "sagittal": centred(np.array([[0, 0, 3.0], [2.0, 0, 0], [0, -2.0, 0]])),
}


def blob(affine, shape):
    """A Gaussian at a world position, on any grid."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance = nib.affines.apply_affine(affine, index) - BLOB_MM
    return np.exp(-0.5 * (distance**2).sum(-1) / BLOB_SIGMA_MM**2).astype(np.float32)


def compose(spacing_mm=(2.0, 2.0, 3.0)):
    settings = {"spacing_mm": list(spacing_mm), "hu_window": [-1000.0, 400.0], "suv_range": [0.0, 15.0]}
    parser = ConfigParser({**settings, "preprocessing": {"_target_": "Compose", "transforms": TRANSFORMS}})
    return parser.get_parsed_content("preprocessing")


def write_case(folder, affine):
    pet_affine = centred(np.diag([4.0, -4.0, 4.0]), (40, 36, 30))
    volumes = {
        "ct": (blob(affine, SHAPE) * 1400 - 1000, affine),
        "pet": (blob(pet_affine, (40, 36, 30)) * 15, pet_affine),
        "label": ((blob(affine, SHAPE) > 0.5).astype(np.uint8), affine),
    }
    for key, (voxels, grid) in volumes.items():
        nib.save(nib.Nifti1Image(voxels, grid), folder / f"{key}.nii.gz")
    return {"case": "P1", **{key: str(folder / f"{key}.nii.gz") for key in volumes}}


def centroid_mm(voxels, affine):
    weights = np.asarray(voxels, float)
    index = np.stack(np.meshgrid(*map(np.arange, weights.shape), indexing="ij"), axis=-1)
    return (nib.affines.apply_affine(np.asarray(affine), index) * weights[..., None]).sum((0, 1, 2)) / weights.sum()


@pytest.mark.parametrize("grid", CT_GRIDS)
def test_ct_pet_and_label_meet_at_one_place(tmp_path, grid):
    data = compose()(write_case(tmp_path, CT_GRIDS[grid]))
    image, label = data["image"], data["label"]
    assert set(data) == {"image", "label", "case"}
    assert isinstance(image, MetaTensor) and image.dtype == torch.float32
    assert image.shape[0] == 2 and label.shape == (1, *image.shape[1:])
    assert "".join(nib.aff2axcodes(image.affine.numpy())) == "RAS"
    np.testing.assert_allclose(image.pixdim, (2, 2, 3), rtol=0.06)
    uptake = (image.numpy() + 1) / 2
    for volume in uptake:
        np.testing.assert_allclose(centroid_mm(volume, image.affine), BLOB_MM, atol=0.1)
    # Nearest neighbour moves a voxel's edge by up to half a voxel.
    np.testing.assert_allclose(centroid_mm(label[0], image.affine), BLOB_MM, atol=1.0)
    expected = blob(image.affine.numpy(), image.shape[1:])
    assert np.abs(uptake[0] - expected).max() < 0.08
    # Linear interpolation errs by at most 3 h^2 / 8 times the largest second derivative, 1 / sigma^2.
    assert np.abs(uptake[1] - expected).max() < 3 * 4.0**2 / 8 / BLOB_SIGMA_MM**2
    assert image.min() >= -1 and image.max() <= 1


@pytest.mark.parametrize("grid", CT_GRIDS)
@pytest.mark.parametrize("is_batch", [False, True])
def test_prediction_returns_to_the_ct_grid(tmp_path, grid, is_batch):
    case = write_case(tmp_path, CT_GRIDS[grid])
    preprocessing = compose()
    data = preprocessing(case)
    if is_batch:
        data = list_data_collate([data])
        data["pred"] = (data["image"][:, :1] + 1) / 2
        (data,) = decollate_batch(data)
    else:
        data["pred"] = (data["image"][:1] + 1) / 2
    invert = Invertd(keys="pred", transform=preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True)
    pred = invert(data)["pred"]
    ct = nib.load(case["ct"])
    assert pred.shape == (1, *ct.shape)
    np.testing.assert_allclose(pred.affine, ct.affine, atol=1e-4)
    np.testing.assert_allclose(pred[0], blob(ct.affine, ct.shape), atol=0.1)


def test_equal_grids_are_not_interpolated(tmp_path):
    affine = CT_GRIDS["RAS"]
    random = np.random.default_rng(0)
    ct, pet = random.uniform(-1000, 400, SHAPE).astype(np.float32), random.uniform(0, 15, SHAPE).astype(np.float32)
    case = write_case(tmp_path, affine)
    for key, voxels in (("ct", ct), ("pet", pet)):
        nib.save(nib.Nifti1Image(voxels, affine), case[key])
    image = compose()(case)["image"]
    np.testing.assert_allclose(image[0], (ct + 1000) / 700 - 1, atol=1e-3)
    np.testing.assert_allclose(image[1], pet / 7.5 - 1, atol=1e-3)


def test_values_beyond_the_ranges_are_cut_and_outside_the_pet_is_no_uptake(tmp_path):
    case = write_case(tmp_path, CT_GRIDS["RAS"])
    small = centred(np.diag([4.0, 4.0, 4.0]), (8, 8, 8))
    nib.save(nib.Nifti1Image(np.full((8, 8, 8), 40, np.float32), small), case["pet"])
    nib.save(nib.Nifti1Image(np.full(SHAPE, -3024, np.float32), CT_GRIDS["RAS"]), case["ct"])
    image = compose()(case)["image"]
    assert (image[0] == -1).all()
    assert image[1].max() == 1 and image[1, 0, 0, 0] == -1


@pytest.mark.parametrize("keep", [0.0, -1.0])
def test_spacing_of_zero_or_less_keeps_that_axis(tmp_path, keep):
    image = compose((1.0, 1.0, keep))(write_case(tmp_path, CT_GRIDS["other spacing"]))["image"]
    np.testing.assert_allclose(image.pixdim, (1.0, 1.0, 3.3), atol=1e-5)
    assert image.shape[3] == SHAPE[2]


def test_real_patient(shared_dir):
    folder = shared_dir / "data" / "petct_gtv" / "STS_019"
    files = {"ct": "ct.nii.gz", "pet": "pet.nii.gz", "label": "gtv.nii.gz"}
    preprocessing = compose((2.0, 2.0, 0.0))
    data = preprocessing({"case": "STS_019", **{key: str(folder / name) for key, name in files.items()}})
    source = nib.load(folder / "gtv.nii.gz")
    voxels = np.asarray(source.dataobj)
    # The file is LPS: both in-plane axes turn round, nothing is interpolated.
    np.testing.assert_array_equal(data["label"][0], voxels[::-1, ::-1])
    data["pred"] = MetaTensor(data["label"].as_tensor().clone())
    back = Invertd(keys="pred", transform=preprocessing, orig_keys="image", nearest_interp=True)(data)["pred"]
    np.testing.assert_array_equal(back[0], voxels)
    np.testing.assert_allclose(back.affine, source.affine, atol=1e-4)
