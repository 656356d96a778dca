"""Breathing in training samples: time shares and unions worked out by hand, and the slabs that come of them."""

import numpy as np
import pytest
import torch
from igtv.data.slab_breathing import RandomBreathing, SlabMotion, moved_label
from igtv.data.slab_dataset import SlabDataset
from igtv.data.slab_sampling import TumourMap


def test_time_is_shared_between_the_slices_on_both_sides():
    motion = SlabMotion.of(np.array([0.0, 0.0, -1.25, -2.0]), np.array([0.0, -2.0]))
    assert motion.time_share == pytest.approx({0: 0.5, -1: 0.75 / 4, -2: 0.25 / 4 + 0.25})
    assert motion.visited == (-2, -1, 0)
    assert SlabMotion.of(np.zeros(10), np.zeros(2)).time_share == pytest.approx({0: 1.0})


def still(*places):
    """A motion of whose PET nothing is asked."""
    return SlabMotion.of(np.zeros(1), np.array(places))


def test_a_label_covers_what_it_visits_and_is_cut_at_the_volume():
    label = np.zeros((3, 3, 8), bool)
    label[1, 1, 2] = True
    motion = still(0.0, 1.0, -4.0)
    assert np.flatnonzero(moved_label(label, motion)[1, 1]).tolist() == [0, 1, 2, 3]  # below 0 ends the volume
    assert moved_label(label, motion).sum() == 4
    assert not moved_label(label, still(9.0)).any()


def test_a_thin_tumour_leaves_no_gap_where_it_is_fast():
    """Two slices thick, seen in every third: it passes those between, too."""
    label = np.zeros((3, 3, 24), bool)
    label[1, 1, 13:15] = True
    assert np.flatnonzero(moved_label(label, still(0.0, 3.0, 6.0, 7.4))[1, 1]).tolist() == list(range(13, 22))
    motions = [RandomBreathing(1.0, (25.0, 25.0), slice_mm=2.0).draw(np.random.RandomState(seed)) for seed in range(40)]
    for motion in motions:
        assert motion.visited == tuple(range(min(motion.visited), max(motion.visited) + 1))
        assert not set(motion.visited) - set(motion.time_share)  # the PET has no gap either


def test_a_motion_has_the_drawn_amplitude_and_begins_where_the_ct_is():
    breathing = RandomBreathing(1.0, (18.0, 18.0), slice_mm=3.0)
    motions = [breathing.draw(np.random.RandomState(seed)) for seed in range(60)]
    for motion in motions:
        assert sum(motion.time_share.values()) == pytest.approx(1.0)
        assert 0 in motion.visited
        # ten phases of cos^2n miss the very ends: at n = 3 from 0.86 to 0.00 of 6 slices
        assert 5 <= max(motion.visited) - min(motion.visited) <= 6
    assert any(min(motion.visited) == 0 for motion in motions)  # CT at inhale
    assert any(max(motion.visited) == 0 for motion in motions)  # CT at exhale


def test_breathing_needs_a_distance_of_the_slices():
    assert RandomBreathing(0.0, slice_mm=-1.0).draw(np.random.RandomState(0)) is None  # each image's own spacing
    with pytest.raises(ValueError, match="cannot breathe with spacing_mm -1.0"):
        RandomBreathing(0.5, slice_mm=-1.0)


def test_rest_draws_nothing():
    random = np.random.RandomState(3)
    assert RandomBreathing(0.0).draw(random) is None
    assert random.rand() == np.random.RandomState(3).rand()
    drawn = [RandomBreathing(0.25).draw(np.random.RandomState(seed)) for seed in range(200)]
    assert 30 < sum(motion is not None for motion in drawn) < 70


@pytest.mark.parametrize("settings", [{"probability": 1.5}, {"amplitude_mm": (5, 2)}, {"amplitude_mm": (-1, 2)}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(ValueError, match="breathing_probability"):
        RandomBreathing(**settings)


def test_ends_are_those_of_the_moved_label():
    label = np.zeros((4, 4, 20), bool)
    label[1, 1, 8:11] = True
    pet = np.zeros((4, 4, 20))
    pet[1, 1, 12] = 9.0  # hot and not tumour, until the tumour comes by
    resting = TumourMap.of(pet, label)
    moved = resting.with_label(moved_label(label, still(0.0, 2.0)))
    assert resting.end_slices.tolist() == [8, 10] and moved.end_slices.tolist() == [8, 12]
    assert resting.hot_voxels.tolist() == [[1, 1, 12]] and moved.hot_voxels.size == 0


def samples(breathing):
    """Slabs of a column of tumour, SUV 1 in slices 20 to 24 of 48, on a CT whose value is the slice."""

    def preprocess(case):
        image = np.zeros((2, 8, 8, 48), np.float32)
        image[0] = np.arange(48)
        image[1, 4, 4, 20:25] = 1
        return {"image": image, "label": image[1:] > 0}

    settings = {"patch_size": (8, 8), "num_slices": 48, "background": 0.0, "progress": False}
    dataset = SlabDataset([{"case": "a"}], preprocess, breathing=breathing, **settings)
    return [dataset[index] for index in range(30)]


def test_samples_have_an_averaged_pet_a_union_and_the_ct_as_it_was():
    lengths = []
    for sample in samples(RandomBreathing(1.0, (12.0, 24.0), slice_mm=3.0)):
        ct, pet = sample["image"]
        label = sample["label"][0]
        assert torch.equal(ct, torch.arange(48.0).expand(8, 8, 48))
        row, column = np.argwhere(label.numpy().any(axis=2))[0]
        inside = np.flatnonzero(label[row, column])
        lengths.append(len(inside))
        assert set(range(20, 25)) <= set(inside.tolist()) == set(range(inside[0], inside[-1] + 1))
        assert float(pet.sum()) == pytest.approx(5.0, abs=1e-3)  # activity is spread, not lost
        assert float(pet[row, column, inside].sum()) > 4.5
        assert float(pet[row, column, inside[0]]) < 1 or float(pet[row, column, inside[-1]]) < 1
    assert min(lengths) >= 5 + 3 and max(lengths) <= 5 + 8


def test_without_breathing_samples_are_what_they_were():
    for still, off in zip(samples(None), samples(RandomBreathing(0.0)), strict=True):
        assert torch.equal(still["image"], off["image"]) and torch.equal(still["label"], off["label"])
        assert int(still["label"].sum()) == 5
