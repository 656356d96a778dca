import math

import numpy as np
import pytest
import torch
from igtv.transforms.in_plane_warp import RandInPlaneWarpd


def slab(height=32, width=40, num_slices=3):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((2, height, width, num_slices), generator=generator) * 2 - 1
    return {"image": image, "label": (image[:1] > 0.3).float(), "case": "P1"}


def fixed(matrix=None, flip_slices=False, **settings):
    """A warp whose parameters are set by hand."""
    warp = RandInPlaneWarpd(**settings)
    warp.matrix = np.eye(2) if matrix is None else np.asarray(matrix, float)
    warp.flip_slices = flip_slices
    return warp


def close(one, other):
    np.testing.assert_allclose(one, other, atol=2e-5)


def test_identity():
    data = slab()
    result = fixed().apply(data)
    close(result["image"], data["image"])
    close(result["label"], data["label"])
    assert result["case"] == "P1"


@pytest.mark.parametrize(
    ("matrix", "flip_slices", "axis"),
    [([[-1, 0], [0, 1]], False, 1), ([[1, 0], [0, -1]], False, 2), (None, True, 3)],
)
def test_flips_are_exact(matrix, flip_slices, axis):
    data = slab()
    result = fixed(matrix, flip_slices).apply(data)
    for key in ("image", "label"):
        close(result[key], data[key].flip(axis))


def test_quarter_turn_of_a_square_is_exact():
    data = slab(24, 24)
    result = fixed([[0, 1], [-1, 0]]).apply(data)
    # Output pixel (row, column) shows the input's (column, -row) about the centre.
    close(result["image"], data["image"].transpose(1, 2).flip(1))


def test_matrix_points_from_output_to_input():
    data = {"image": torch.full((2, 41, 41, 1), -1.0), "label": torch.zeros(1, 41, 41, 1)}
    data["image"][:, 20:31, 20, 0] = 1
    result = fixed(np.eye(2) * 0.5).apply(data)["image"]
    assert (result[0, 20:39, 20, 0] > 0.9).all(), "half the step in the input: the content grows twofold"
    assert (result[0, 10, :, 0] < -0.9).all()


def test_content_is_scaled_by_the_factor_drawn():
    rows, columns = torch.meshgrid(torch.arange(65.0) - 32, torch.arange(65.0) - 32, indexing="ij")
    disc = ((rows**2 + columns**2) < 15**2).float()[None, :, :, None]
    settings = {"prob": 1, "flip_prob": 0, "elastic_prob": 0, "shear": 0, "scale_range": (1.2, 1.2)}
    warp = RandInPlaneWarpd(**settings).set_random_state(1)
    result = warp({"image": disc.repeat(2, 1, 1, 1), "label": disc})
    assert result["label"].sum() == pytest.approx(math.pi * (15 * 1.2) ** 2, rel=0.02)


def test_parameters_stay_in_their_ranges():
    warp = RandInPlaneWarpd(prob=1, flip_prob=0, elastic_prob=0.5).set_random_state(0)
    determinants, angles, elastic = [], [], 0
    for _ in range(300):
        warp.randomize()
        determinants.append(np.linalg.det(warp.matrix))
        angles.append(math.degrees(math.atan2(warp.matrix[1, 0], warp.matrix[0, 0])))
        elastic += warp.displacement_px is not None
    scales = 1 / np.sqrt(determinants)
    assert 0.85 <= scales.min() < 0.88 and 1.15 < scales.max() <= 1.2
    assert -15 <= min(angles) < -13 and 13 < max(angles) <= 15
    assert 110 < elastic < 190


def test_all_slices_and_keys_move_together():
    data = slab(num_slices=1)
    data["image"] = data["image"].repeat(1, 1, 1, 5)
    data["image"][1] = data["image"][0]
    data["label"] = (data["image"][:1] > 0).float()
    result = RandInPlaneWarpd(prob=1, elastic_prob=1).set_random_state(4)(data)
    image = result["image"]
    close(image, image[:1, ..., :1].expand_as(image))
    assert not torch.equal(image, data["image"])
    assert set(result["label"].unique().tolist()) == {0.0, 1.0}


def test_output_size_is_the_centre_and_outside_is_background():
    data = slab(40, 40)
    result = fixed(output_size=(32, 24)).apply(data)
    close(result["image"], data["image"][:, 4:36, 8:32])
    wide = fixed(output_size=(48, 48)).apply(data)
    close(wide["image"][:, 4:44, 4:44], data["image"])
    assert (wide["image"][:, :3] == -1).all() and (wide["label"][:, :3] == 0).all()


def test_elastic_displacement_is_smooth_and_of_the_size_asked_for():
    data = slab(64, 64)
    columns = torch.arange(64.0).expand(64, 64)[None, :, :, None] / 64
    data["image"] = columns.repeat(2, 1, 1, 1)
    data["label"] = torch.zeros(1, 64, 64, 1)
    settings = {"prob": 0, "flip_prob": 0, "elastic_prob": 1}
    moved = RandInPlaneWarpd(elastic_px=2.0, **settings).set_random_state(0)(data)["image"]
    displacement_px = (moved - data["image"])[0, 10:54, 10:54, 0] * 64
    assert 0.3 < displacement_px.std() < 4
    assert displacement_px.diff(dim=0).abs().max() < 0.8


def test_input_is_left_as_it_was():
    data = slab()
    before = {key: data[key].clone() for key in ("image", "label")}
    RandInPlaneWarpd(prob=1, elastic_prob=1).set_random_state(0)(data)
    assert all(torch.equal(before[key], data[key]) for key in before)


def test_wrong_range():
    with pytest.raises(ValueError, match=r"scale_range=\(1.2, 0.8\)"):
        RandInPlaneWarpd(scale_range=(1.2, 0.8))
