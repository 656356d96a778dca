from collections import Counter

import numpy as np
import pytest
from igtv.data.slab_sampling import TumourMap, choose_place

SHAPE = (60, 50, 40)
SIZE = (32, 32, 8)


@pytest.fixture
def label():
    """Two lesions: slices 10..19 and 30..31."""
    label = np.zeros(SHAPE, bool)
    label[10:16, 20:30, 10:20] = True
    label[40:44, 5:9, 30:32] = True
    return label


@pytest.fixture
def tumour_map(label):
    pet = np.zeros(SHAPE)
    pet[label] = 5
    pet[50:55, 40:45, 25:28] = 9
    return TumourMap.of(pet, label)


def draw(label, tumour_map, kind, size=SIZE, number=200, end_radius=2):
    random = np.random.RandomState(3)
    return [choose_place(label, tumour_map, size, kind, end_radius, random) for _ in range(number)]


def part(label, place, size=SIZE):
    return label[tuple(slice(max(0, first), first + length) for first, length in zip(place.start, size, strict=True))]


def test_map_of_a_case(tumour_map, label):
    assert tumour_map.tumour_slices.tolist() == [*range(10, 20), 30, 31]
    assert sorted(tumour_map.end_slices) == [10, 19, 30, 31]
    hot = tumour_map.hot_voxels
    assert len(hot) == 5 * 5 * 3 and not label[tuple(hot.T)].any()
    assert hot.min(axis=0).tolist() == [50, 40, 25]


def test_end_slabs_hold_the_end_and_its_surroundings(tumour_map, label):
    ends = Counter()
    for place in draw(label, tumour_map, "end"):
        first, last = place.start[2], place.start[2] + SIZE[2] - 1
        held = [end for end in (10, 19, 30, 31) if first <= end - 2 and end + 2 <= last]
        assert held and part(label, place).any()
        ends.update(held)
    assert min(ends[end] for end in (10, 19, 30, 31)) > 20


@pytest.mark.parametrize("num_slices", [1, 2, 3, 4])
def test_short_end_slabs_hold_the_end(tumour_map, label, num_slices):
    size = (32, 32, num_slices)
    for place in draw(label, tumour_map, "end", size):
        covered = range(place.start[2], place.start[2] + num_slices)
        assert any(end in covered for end in (10, 19, 30, 31))


def test_inside_slabs_reach_every_tumour_slice_and_position(tumour_map, label):
    places = draw(label, tumour_map, "inside", number=400)
    assert all(part(label, place).any() for place in places)
    assert {place.start[2] for place in places} >= set(range(5, 18))


def test_tumour_appears_anywhere_in_the_crop(tumour_map, label):
    rows = [12 - place.start[0] for place in draw(label, tumour_map, "inside", (16, 16, 8), 400)]
    assert min(rows) < 4 and max(rows) > 11


@pytest.mark.parametrize(("rows", "step"), [(512, 1), (513, 2), (600, 2), (1024, 2), (1025, 3)])
def test_hot_voxels_are_chosen_from_end_to_end(rows, step):
    """One hot voxel in each row, 1 % of all: the choice of 512 at most leaves out no side of the volume."""
    pet = np.zeros((rows, 10, 10))
    pet[:, 3, 4] = 9
    hot = TumourMap.of(pet, np.zeros(pet.shape, bool)).hot_voxels
    assert hot.tolist() == [[row, 3, 4] for row in range(0, rows, step)]


def test_free_slabs_hold_no_tumour_and_visit_hot_tissue(tumour_map, label):
    places = draw(label, tumour_map, "free")
    assert all(place.kind == "free" and not part(label, place).any() for place in places)
    hot = np.zeros(SHAPE, bool)
    hot[50:55, 40:45, 25:28] = True
    assert 0.3 < np.mean([part(hot, place).any() for place in places]) < 0.9
    beside = [place for place in places if label[:, :, place.start[2] : place.start[2] + SIZE[2]].any()]
    assert beside


def test_crops_stay_in_the_volume_where_it_is_large_enough(tumour_map, label):
    for kind in ("end", "inside", "free"):
        starts = np.array([place.start for place in draw(label, tumour_map, kind)])
        assert (starts >= 0).all() and (starts + SIZE <= SHAPE).all()


def test_small_volumes_lie_anywhere_in_the_crop(tumour_map, label):
    starts = np.array([place.start for place in draw(label, tumour_map, "inside", (64, 64, 48))])
    assert set(starts[:, 0]) == set(range(-4, 1)) and set(starts[:, 1]) == set(range(-14, 1))
    assert set(starts[:, 2]) == {0}


def test_without_a_free_place_the_slab_lies_inside(tumour_map):
    everywhere = np.ones((8, 8, 8), bool)
    tumour = TumourMap.of(np.zeros((8, 8, 8)), everywhere)
    assert {place.kind for place in draw(everywhere, tumour, "free", (8, 8, 4), 5)} == {"inside"}


def test_without_tumour_every_slab_is_free():
    nothing = np.zeros((8, 8, 8), bool)
    tumour = TumourMap.of(np.arange(512.0).reshape(8, 8, 8), nothing)
    for kind in ("end", "inside", "free"):
        assert {place.kind for place in draw(nothing, tumour, kind, (4, 4, 4), 5)} == {"free"}
