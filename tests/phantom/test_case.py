"""Whole cases: a function of seed, number and settings; exact labels; targets that can be told from the rest."""

import json

import numpy as np
import pytest
from igtv.phantom.case import Case, draw_patient, make_case, truth_at, unpack_phases
from igtv.phantom.difficulty import THRESHOLDS_SUV, component_on, threshold_scores
from igtv.phantom.grid import Grid
from igtv.phantom.overview import pet_on_ct_grid
from igtv.phantom.settings import PhantomSettings
from igtv.phantom.tumour import KINDS, SITES


@pytest.fixture(scope="module")
def cases():
    return [make_case(7, index, PhantomSettings()) for index in range(6)]


@pytest.mark.parametrize("task", ["gtv", "igtv"])
def test_same_arguments_same_case(small, task):
    settings = PhantomSettings(task=task, **small)
    first, second = (make_case(3, 5, settings) for _ in range(2))
    for name in ("ct", "pet", "label", "phases"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.metadata == second.metadata


def test_seed_number_and_task_each_change_the_patient(small):
    settings = PhantomSettings(**small)
    centres = {
        draw_patient(seed, index, chosen).tumour.lesion.centre_mm
        for seed, index, chosen in (
            (0, 0, settings),
            (1, 0, settings),
            (0, 1, settings),
            (0, 0, PhantomSettings("gtv")),
        )
    }
    assert len(centres) == 4


def test_label_is_the_union_of_the_phases(cases):
    for case in cases:
        phases = unpack_phases(case.phases, 10)
        np.testing.assert_array_equal(case.label > 0, phases.any(axis=0))
        assert all(phase.any() for phase in phases)


def test_gtv_label_is_the_tumour_at_the_phase_of_the_ct(small):
    settings = PhantomSettings(task="gtv", ct_kind_shares=(0.0, 0.0, 1.0), **small)
    case = make_case(0, 2, settings)
    patient = draw_patient(0, 2, settings)
    assert case.metadata["ct_kind"] == "exhale"
    np.testing.assert_array_equal(case.label > 0, truth_at(case.grid, patient.tumour, patient.breathing, 0.5))


def test_types_and_ranges(cases):
    for case in cases:
        assert (case.ct.dtype, case.pet.dtype, case.label.dtype, case.phases.dtype) == (
            np.int16, np.float32, np.uint8, np.uint16,
        )  # fmt: skip
        assert case.ct.shape == case.label.shape == case.phases.shape == case.grid.shape
        assert case.pet.shape == case.pet_grid.shape
        assert case.ct.min() >= -1024 and case.ct.max() < 3072
        assert np.isfinite(case.pet).all() and case.pet.min() >= 0 and case.pet.max() < 60
        assert set(np.unique(case.label)) == {0, 1}
        json.dumps(case.metadata)


def test_target_lies_within_the_picture_and_in_tissue(cases):
    for case in cases:
        inside = np.argwhere(case.label)
        assert inside.min() > 0 and (inside.max(axis=0) < np.array(case.grid.shape) - 1).all()
        pet = pet_on_ct_grid(case.pet, case.pet_grid, case.grid)
        assert pet[case.label > 0].mean() > 1.0


def test_pet_covers_the_ct(cases):
    for case in cases:
        for axis in range(3):
            low = case.grid.origin_mm[axis] - case.grid.spacing_mm[axis] / 2
            high = low + case.grid.shape[axis] * case.grid.spacing_mm[axis]
            pet_low = case.pet_grid.origin_mm[axis] - case.pet_grid.spacing_mm[axis] / 2
            pet_high = pet_low + case.pet_grid.shape[axis] * case.pet_grid.spacing_mm[axis]
            assert pet_low <= low + 1e-3 and pet_high >= high - 1e-3


def test_recorded_shift_between_pet_and_ct(small):
    """The centre of uptake lies at the mean position of the tumour plus the recorded shift."""
    settings = PhantomSettings(
        **small | {"pet_spacing_mm": (4.0, 4.0, 3.0)}, distractors=False, misregistration_mm=15.0, pet_noise=(0.0, 0.0),
        tumour_suv_range=(20.0, 20.0), tumour_suv_median=20.0, amplitude_median_mm=(8.0, 8.0, 8.0),
    )  # fmt: skip
    tested = 0
    for index in range(8):
        patient = draw_patient(11, index, settings)
        if patient.tumour.site != "parenchyma" or patient.tumour.kind != "solid":
            continue
        case = make_case(11, index, settings)
        x, y, z = (axis.astype(float) for axis in case.pet_grid.axes())
        shift = np.array(case.metadata["misregistration_mm"])
        mean = np.mean(case.metadata["phase_displacement_mm"], axis=0) + patient.tumour.lesion.centre_mm
        reach = patient.tumour.lesion.reach_mm + 6.0
        near = (x - mean[0] - shift[0]) ** 2 + (y - mean[1] - shift[1]) ** 2 < reach**2
        near = near & (np.abs(z - mean[2] - shift[2]) < reach + 6.0)
        bright = np.where(near & (case.pet > 4.0), case.pet, 0).astype(float)
        centre = np.array([(bright * axis).sum() for axis in (x, y, z)]) / bright.sum()
        # uptake gradient and lobed surface move the centre by some mm, the shift itself reaches 15
        assert np.linalg.norm(centre - mean - shift) < 4.0
        tested += 1
    assert tested >= 2


def test_facts_agree_with_the_volumes(cases):
    for case in cases:
        facts = case.metadata
        assert facts["site"] in SITES and facts["kind"] in KINDS and facts["ct_kind"] in ("phase", "average", "exhale")
        assert facts["label_volume_ml"] == pytest.approx(case.label.sum() * 0.027)
        # a rigid body keeps its volume in every phase, but for the voxels of its border
        assert np.ptp(facts["phase_volume_ml"]) <= 0.12 * max(facts["phase_volume_ml"]) + 0.1
        path = np.array(facts["phase_displacement_mm"])
        assert np.ptp(path[:, 2]) == pytest.approx(facts["excursion"]["si_mm"], abs=1e-3)
        assert facts["diaphragm_si_mm"] >= facts["excursion"]["si_mm"]


def test_the_diaphragm_of_gtv_cases_moves_by_what_is_its_most_in_the_median():
    """12 exp(0.3 x) is above 10 mm, twice the largest amplitude, in 73 % of the cases."""
    settings = PhantomSettings(task="gtv")
    heights = [draw_patient(0, index, settings).diaphragm.si_mm for index in range(24)]
    assert np.median(heights) == max(heights) == 10.0 and min(heights) < 9.0


def test_distractors_keep_off_the_target(cases):
    for case in cases:
        target = np.array(case.metadata["tumour_centre_mm"])
        for body in case.metadata["distractors"]:
            assert np.linalg.norm(np.array(body["centre_mm"]) - target) > case.metadata["diameter_mm"] / 2
            if body["name"] == "cold nodule":
                assert body["suv"] < 1.2
            if body["name"] == "inflammation":
                assert body["suv"] <= 0.6 * case.metadata["tumour_suv"] + 1e-6


def test_amplitudes_by_task_and_lobe():
    settings = {task: PhantomSettings(task) for task in ("gtv", "igtv")}
    lengths = {"gtv": [], "upper": [], "lower": []}
    # the centres of all of them lie in the lung
    for index in range(40):
        lengths["gtv"].append(draw_patient(0, index, settings["gtv"]).tumour.excursion.si_mm)
        patient = draw_patient(0, index, settings["igtv"])
        tumour = patient.tumour
        assert patient.anatomy.lung_distance(*tumour.lesion.centre_mm) <= 0
        lengths.setdefault(tumour.lobe, []).append(tumour.excursion.si_mm)
    assert np.mean(np.array(lengths["gtv"]) <= 3.0) > 0.8 and max(lengths["gtv"]) <= 5.0
    assert np.median(lengths["lower"]) > 2 * np.median(lengths["upper"]) > 0


@pytest.mark.parametrize("seed, index", [(-1, 0), (0, -1), (0.5, 0), (True, 0)])
def test_bad_seed_or_number(seed, index):
    with pytest.raises(ValueError, match="whole number"):
        make_case(seed, index, PhantomSettings())


def test_threshold_scores_by_hand():
    """A tumour of 24 voxels with pale outer slices, a larger and paler organ, and one voxel hotter than all else."""
    grid = Grid((0.0, 0.0, 0.0), (3.0, 3.0, 3.0), (12, 8, 12))
    label, pet = np.zeros(grid.shape, np.uint8), np.full(grid.shape, 0.5, np.float32)
    label[2:4, 2:4, 3:9] = 1  # 6 slices of 4 voxels; each end is 6 mm, 2 slices
    pet[label > 0], pet[2:4, 2:4, [3, 4, 8]] = 10.0, 2.1  # of the superior end one slice shines, of the inferior none
    pet[6:8, 1:6, 3:6] = 3.9  # 30 voxels
    pet[10, 6, 10] = 30.0
    scores = threshold_scores(Case("A", pet, pet, label, label, grid, grid, {}))
    # up to 2, up to 3.75, from 4 on: the organ is larger than the tumour until it is left out
    assert THRESHOLDS_SUV[4:6] + THRESHOLDS_SUV[11:13] == (2.0, 2.25, 3.75, 4.0) and len(THRESHOLDS_SUV) == 21
    assert scores == {
        "fixed": pytest.approx([0.0] * 12 + [2 * 12 / (12 + 24)] * 9),
        "fixed_ends": pytest.approx([0.0] * 12 + [(2 * 4 / (4 + 8) + 0) / 2] * 9),
        "fixed_all": pytest.approx([2 * 24 / (55 + 24)] * 5 + [2 * 12 / (43 + 24)] * 7 + [2 * 12 / (13 + 24)] * 9),
        "relative": 0.0,  # 41 % of 30: the one voxel
        "relative_seeded": pytest.approx(2 * 12 / (12 + 24)),  # 41 % of 10
        "relative_seeded_ends": pytest.approx((2 * 4 / (4 + 8) + 0) / 2),
    }


def test_component_on_the_target():
    mask = np.zeros((6, 6, 6), bool)
    mask[0, 0, 0] = mask[3:5, 3, 3] = True
    target = np.zeros_like(mask)
    assert not component_on(mask, target).any()
    target[0, 0, 0] = True
    assert np.argwhere(component_on(mask, target)).tolist() == [[0, 0, 0]]
