"""The loss of train.json on two slabs of four voxels, the probabilities of which make it a sum for pencil and paper."""

import math

import pytest
import torch
from monai.bundle import ConfigParser

# per slab: probabilities, and which voxels are tumour
LARGE = ([0.75, 0.75, 0.5, 0.25], [1, 1, 1, 0])
SMALL = ([0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0])


@pytest.fixture
def loss_of(bundle_dir):
    """`loss_of(**settings)`: the loss of both slabs (B, 1, 2, 2, 1) with these settings of the config."""
    probability, label = (torch.tensor(values).float().view(2, 1, 2, 2, 1) for values in zip(LARGE, SMALL, strict=True))

    def compute(**settings):
        parser = ConfigParser()
        parser.read_config(str(bundle_dir / "configs" / "train.json"))
        parser.update({"device": "cpu", **settings})
        return parser.get_parsed_content("loss")(torch.logit(probability), label).item()

    return compute


# (2 x overlap + 1) / (probabilities + tumour voxels + 1): 5 / 6.25 and 1.5 / 3 alone, 5.5 / 8.25 together
@pytest.mark.parametrize(("slab_wise", "dice_loss"), [(True, (0.2 + 0.5) / 2), (False, 1 / 3)])
@pytest.mark.parametrize("weight", [1, 2])
def test_dice_of_slabs_and_weighted_cross_entropy(loss_of, slab_wise, dice_loss, weight):
    """-log of 0.75 twice, 0.5 and 0.25 in the tumour, which the weight multiplies; four times -log 0.75 outside."""
    tumour, outside = 2 * math.log(4 / 3) + math.log(2) + math.log(4), 4 * math.log(4 / 3)
    expected = dice_loss + (weight * tumour + outside) / 8
    assert loss_of(slab_wise_dice=slab_wise, foreground_weight=weight) == pytest.approx(expected, rel=1e-5)


def test_tumours_weigh_twice_and_slabs_count_together_unless_told(loss_of):
    assert loss_of() == loss_of(slab_wise_dice=False, foreground_weight=2)
