import numpy as np
import pytest
import torch
from igtv.transforms.pet_shift import RandPetShiftd, shift


def test_whole_shifts_repeat_the_edge():
    volume = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(shift(volume, (0, 0, 1)), volume[..., [0, 0, 1, 2]])
    np.testing.assert_array_equal(shift(volume, (0, -2, 0)), volume[:, [2, 2, 2]])


def test_fractions_interpolate():
    volume = torch.tensor([0.0, 10, 20, 40]).reshape(4, 1, 1)
    np.testing.assert_allclose(shift(volume, (0.25, 0, 0)).flatten(), [0, 7.5, 17.5, 35])
    np.testing.assert_allclose(shift(volume, (-0.25, 0, 0)).flatten(), [2.5, 12.5, 25, 40])


def test_only_pet_moves_by_no_more_than_the_limit():
    rows = np.stack(np.meshgrid(*[np.arange(24) - 11.5] * 3, indexing="ij"))
    blob = torch.as_tensor(np.exp(-(rows**2).sum(0) / 18)).float()
    transform = RandPetShiftd(spacing_mm=(2, 2, 3), prob=1, max_shift_mm=6).set_random_state(0)
    image = torch.stack([blob, blob])
    lengths = []
    for _ in range(20):
        result = transform({"image": image})["image"]
        assert torch.equal(result[0], blob)
        weights = result[1].numpy() / result[1].sum().item()
        moved = (rows * weights).sum((1, 2, 3))
        np.testing.assert_allclose(moved, transform.shift_px, atol=0.02)
        lengths.append(np.linalg.norm(moved * (2, 2, 3)))
    assert max(lengths) <= 6.1 and np.ptp(lengths) > 3


def test_same_seed_same_shift():
    image = torch.rand(2, 8, 8, 4)
    one, same, other = (
        RandPetShiftd((1, 1, 1), prob=1).set_random_state(s)({"image": image})["image"] for s in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("spacing_mm", [(2, 2, 0), (2, 2)])
def test_wrong_spacing(spacing_mm):
    with pytest.raises(ValueError, match="must be three sizes above 0"):
        RandPetShiftd(spacing_mm=spacing_mm)
