"""The simulated annotator: where it clicks, and that it ends when all is right."""

import numpy as np
from igtv.evaluation.overlap import dice
from igtv.interaction.clicks import voxel_of
from igtv.interaction.likeness import TissueLikeness
from igtv.interaction.simulated import corrections, next_click


def scene_of(scene):
    tissue = TissueLikeness(scene.ct_hu, scene.pet_suv, scene.affine)
    return {"probability": scene.probability, "tissue": tissue, "affine": scene.affine}


def test_clicks_lie_in_the_largest_error(scene):
    """A missed ball and a smaller surplus one: always the missed one, seldom at the same voxel."""
    truth = scene.hot | scene.cold
    proposal = scene.hot.copy()
    proposal[2:5, 2:5, 2:5] = True
    voxels = set()
    for seed in range(30):
        click = next_click(proposal, truth, scene.affine, np.random.default_rng(seed))
        voxel = voxel_of(click, scene.affine, truth.shape)
        assert click.inside and scene.cold[voxel]
        voxels.add(voxel)
    assert len(voxels) > 15


def test_surplus_is_clicked_as_no_tumour(scene):
    click = next_click(scene.hot | scene.cold, scene.hot, scene.affine, np.random.default_rng(0))
    assert not click.inside and scene.cold[voxel_of(click, scene.affine, scene.hot.shape)]


def test_without_jitter_the_middle(scene):
    click = next_click(scene.hot, scene.hot | scene.cold, scene.affine, np.random.default_rng(0), jitter_mm=0)
    assert np.linalg.norm(np.array(click.position_mm) - [24, 0, 4]) <= 3


def test_nothing_to_click(scene):
    rng = np.random.default_rng(0)
    assert next_click(scene.hot, scene.hot, scene.affine, rng) is None
    steps = list(corrections(mask=scene.hot, label=scene.hot, count=2, rng=rng, **scene_of(scene)))
    assert [len(clicks) for clicks, _ in steps] == [0, 0]
    assert all((mask == scene.hot).all() for _, mask in steps)


def test_one_click_into_a_missed_half_finds_it(scene):
    """Half of the tumour at the start (Dice 2/3), nearly all after one click."""
    truth = scene.hot | scene.cold
    steps = corrections(mask=scene.mask, label=truth, count=2, rng=np.random.default_rng(0), **scene_of(scene))
    assert [dice(mask, truth) > 0.9 for _, mask in steps] == [True, True]
