"""Small PET/CT cases written to files."""

import json

import nibabel as nib
import numpy as np
import pytest

CT_SHAPE = (20, 24, 12)
CT_AFFINE = np.array([[-2.0, 0, 0, 20], [0, -2.0, 0, 30], [0, 0, 3.0, -40], [0, 0, 0, 1]])


def write_nifti(path, voxels, affine=CT_AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)


@pytest.fixture
def make_case(tmp_path):
    """Write a sound case; keyword arguments replace voxels or, as `<key>_affine`, where a file lies."""

    def make(name="P1", **changes):
        random = np.random.default_rng(0)
        label = np.zeros(CT_SHAPE, np.uint8)
        label[8:12, 10:14, 4:8] = 1
        voxels = {
            "ct": random.normal(-100, 300, CT_SHAPE).astype(np.int16),
            "pet": random.uniform(0, 3, CT_SHAPE).astype(np.float32),
            "label": label,
        }
        case = {"case": name, "ct_kind": "unknown"}
        for key, default in voxels.items():
            case[key] = write_nifti(
                tmp_path / name / f"{key}.nii.gz", changes.get(key, default), changes.get(f"{key}_affine", CT_AFFINE)
            )
        return case

    return make


@pytest.fixture
def write_datalist(tmp_path):
    """Write a datalist and give its path."""

    def write(**lists):
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps(lists))
        return path

    return write
