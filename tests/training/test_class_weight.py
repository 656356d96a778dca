import pytest
import torch
from igtv.training.class_weight import class_weight
from monai.losses import DiceCELoss


def test_a_missed_voxel_costs_as_many_times_more():
    """ln 2 for a logit of 0; the voxel of the tumour three times."""
    logits, label = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]])
    loss = DiceCELoss(sigmoid=True, lambda_dice=0.0, weight=class_weight(3, "cpu"))(logits, label)
    assert loss.item() == pytest.approx(0.693147 * (3 + 1) / 2, rel=1e-5)


@pytest.mark.parametrize("value", [0, -3, float("nan"), float("inf")])
def test_what_rewards_misses_is_refused(value):
    with pytest.raises(ValueError, match=f"foreground_weight is {value}: a number above 0 is needed"):
        class_weight(value, "cpu")
