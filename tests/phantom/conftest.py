"""Coarse settings: a case in a fraction of a second; real-like cases into which breathing is put."""

import json

import nibabel as nib
import numpy as np
import pytest

SMALL = {"image_size": (56, 42, 24), "spacing_mm": (6.0, 6.0, 5.0), "pet_spacing_mm": (6.0, 6.0, 5.0)}
RAS = nib.orientations.axcodes2ornt("RAS")
BALL_SHAPE = (20, 20, 34)


@pytest.fixture(scope="session")
def small():
    return dict(SMALL)


@pytest.fixture(scope="session")
def make_source():
    """`make_source(folder, patients, ...)`: a data set of balls in a soft body with a bone beside it, 3 mm voxels."""
    return source_dataset


def source_dataset(folder, patients, validation=(), cases=1, centre=(30.0, 30.0, 45.0), radius_mm=10.0, axes="LPS"):
    """Patients of `training` and `validation`, `cases` cases each; returns the folder."""
    lists = {"training": [], "validation": []}
    for part, names in (("training", patients), ("validation", validation)):
        for name in names:
            for number in range(cases):
                case = folder / f"{name}_{number}"
                case.mkdir(parents=True)
                for key, volume in ball_images(centre, radius_mm).items():
                    image = nib.Nifti1Image(volume, np.diag([3.0, 3.0, 3.0, 1.0]))
                    turn = nib.orientations.axcodes2ornt(axes)
                    nib.save(image.as_reoriented(nib.orientations.ornt_transform(RAS, turn)), case / f"{key}.nii.gz")
                files = {key: f"{case.name}/{key}.nii.gz" for key in ("ct", "pet", "label")}
                lists[part].append(files | {"patient_id": name})
    lists = {part: items for part, items in lists.items() if items}
    (folder / "dataset.json").write_text(json.dumps({"name": "Balls", "licence": "CC0", **lists}))
    return folder


def ball_images(centre, radius_mm):
    """CT, PET and GTV (X, Y, Z) in RAS: a body of fat around a ball, a bone at the left, uptake 8 in the ball."""
    x, y, z = np.meshgrid(*(np.arange(n) * 3.0 for n in BALL_SHAPE), indexing="ij")
    ball = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius_mm**2
    ct = np.where(ball, 40, -100).astype(np.int16)
    ct[:2] = 700
    return {"ct": ct, "pet": np.where(ball, 8.0, 1.0).astype(np.float32), "label": ball.astype(np.uint8)}
