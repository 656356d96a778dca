"""Pictures of the first validation cases."""

import types

import pytest
import torch
from igtv.training.validation_pictures import ValidationPictures
from monai.data import MetaTensor


def engine_after(iteration: int, case: str):
    """What the handler reads of an engine after one validation case."""
    image = MetaTensor(torch.full((2, 20, 18, 9), -1.0), affine=torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0])))
    mask = torch.zeros(1, 20, 18, 9)
    mask[:, 6:12, 6:12, 3:6] = 1
    state = types.SimpleNamespace(
        iteration=iteration,
        epoch_length=4,
        batch=[{"image": image, "case": case}],
        output=[{"pred": mask, "label": mask}],
    )
    return types.SimpleNamespace(state=state)


def test_only_the_first_cases_are_drawn_at_every_validation(tmp_path):
    pictures = ValidationPictures(tmp_path, 2, (-1000.0, 400.0), (0.0, 15.0))
    for iteration in range(1, 9):  # two validations of four cases
        pictures(engine_after(iteration, f"case_{(iteration - 1) % 4}"))
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["case_0.png", "case_1.png"]


@pytest.mark.parametrize(("count", "enabled"), [(0, True), (3, False)])
def test_no_folder_without_pictures(tmp_path, count, enabled):
    ValidationPictures(tmp_path, count, (-1000.0, 400.0), (0.0, 15.0), enabled)(engine_after(1, "case_0"))
    assert not (tmp_path / "pictures").exists()


def test_intensities_go_back_to_hu_and_suv():
    ends = torch.tensor([-1.0, 0.0, 1.0])
    assert ValidationPictures._unscaled(ends, (-1000.0, 400.0)).tolist() == [-1000.0, -300.0, 400.0]
    assert ValidationPictures._unscaled(ends, (0.0, 15.0)).tolist() == [0.0, 7.5, 15.0]
