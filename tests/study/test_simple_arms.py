"""Arms without training, numbers worked out by hand: margins, thresholds, subsets, the light metrics."""

from dataclasses import replace

import numpy as np
import pytest
from igtv.evaluation.case_metrics import case_metrics
from igtv.study.branch import Branch, Cell
from igtv.study.cost import placeholder_phantom
from igtv.study.light_metrics import light_metrics
from igtv.study.margins import Margin, at_the_edge, choose_margin, grow
from igtv.study.plan import plan_from
from igtv.study.subsets import labelled_subset
from igtv.study.thresholds import choose_rule, choose_seeded_rule

SPACING = (2.0, 2.0, 3.0)


def ball(radius_mm, centre=(20, 20, 20), shape=(41, 41, 41)):
    axes = np.meshgrid(*((np.arange(n) - c) * s for n, c, s in zip(shape, centre, SPACING, strict=True)), indexing="ij")
    return sum(axis**2 for axis in axes) <= radius_mm**2


def swept(mask, up, down):
    """Union of a mask over all positions from `up` slices towards superior to `down` towards inferior."""
    return np.logical_or.reduce([np.roll(mask, shift, axis=2) for shift in range(-down, up + 1)])


def test_a_box_grows_by_as_many_slices_as_the_margin_holds():
    mask = np.zeros((9, 9, 12), bool)
    mask[4, 4, 5:7] = True
    grown = grow(mask, Margin(superior_mm=6, inferior_mm=3), SPACING)
    assert np.flatnonzero(grown[4, 4]).tolist() == [4, 5, 6, 7, 8]
    assert grown.sum() == 5
    wide = grow(mask, Margin(in_plane_mm=2), SPACING)  # a voxel becomes a cross of five
    assert wide.sum() == 2 * 5 and not wide[3, 3].any()
    assert grow(mask, Margin(), SPACING).sum() == 2


def test_a_margin_stops_at_the_edge_of_the_volume():
    mask = np.zeros((3, 3, 4), bool)
    mask[1, 1, 3] = True
    assert grow(mask, Margin(superior_mm=30, inferior_mm=30), SPACING)[1, 1].all()
    assert not grow(np.zeros((3, 3, 4), bool), Margin(6, 6, 6), SPACING).any()


def test_a_sphere_that_moved_by_a_known_way_gives_that_margin():
    sphere = ball(14.0)
    igtv = swept(sphere, up=1, down=4)  # 3 mm to superior, 12 mm to inferior
    margin, dice = choose_margin([(sphere, igtv, SPACING)], [0, 3, 6, 9, 12, 15], [0, 2, 4])
    assert margin == Margin(superior_mm=3, inferior_mm=12, in_plane_mm=0)
    assert dice == 1.0


def test_a_margin_at_the_edge_of_what_was_tried_is_named():
    assert at_the_edge(Margin(15, 12, 0), [0, 12, 15], [0]) == ["superior_mm"]
    assert at_the_edge(Margin(12, 15, 4), [0, 12, 15], [0, 4]) == ["inferior_mm", "in_plane_mm"]
    assert at_the_edge(Margin(12, 0, 0), [0, 12, 15], [0]) == []


def test_no_margin_is_chosen_on_patients_that_the_gtv_model_learned_from(choices, tmp_path):
    plan = plan_from(choices("full"))
    apart = placeholder_phantom(plan)
    validation = [{"case": "v", "patient": "v"}]
    same = replace(apart, pretraining=[{**case, "case": "static"} for case in apart.pool], validation=validation)
    for data, sizes, cases in ((apart, [5, 10, 15], None), (same, [0], validation)):
        branch = Branch("B", plan, data, tmp_path, plan.breathing_sizes, {})
        assert branch.sizes_after_gtv == sizes
        for size in sizes:
            expected = cases or labelled_subset(data.pool, size, 1)
            assert branch.known_cases(Cell("margin_rectified_B", size, 1)) == expected


def test_the_margin_is_best_for_the_mean_of_the_labelled_patients():
    sphere = ball(14.0)
    cases = [(sphere, swept(sphere, 0, shift), SPACING) for shift in (1, 2, 3)]
    margin, dice = choose_margin(cases, [0, 3, 6, 9], [0])
    assert (margin.superior_mm, margin.inferior_mm) == (0, 6) and dice < 1
    empty = np.zeros_like(sphere)
    with pytest.raises(ValueError, match="no labelled case with a target"):
        choose_margin([(sphere, empty, SPACING)], [0], [0])


def test_the_better_kind_of_threshold_is_taken():
    label = ball(14.0)
    bright, faint = 10.0 * label, 4.0 * label
    rule, dice = choose_rule([(bright, label, SPACING), (faint, label, SPACING)], suv=[5.0, 6.0], fractions=[0.5])
    assert (rule.kind, rule.value, dice) == ("fraction", 0.5, 1.0)  # 5 misses the faint one
    hot = faint + 40.0 * ball(3.0, centre=(5, 5, 5))  # the maximum is elsewhere, in something small
    rule, dice = choose_rule([(hot, label, SPACING)], suv=[3.0], fractions=[0.5])
    assert (rule.kind, rule.value, dice) == ("suv", 3.0, 1.0)
    assert (rule.mask(hot, SPACING) == label).all()
    assert not rule.mask(np.zeros(label.shape), SPACING).any()


def test_a_threshold_keeps_the_avid_lesion_not_the_largest():
    tumour, atelectasis = ball(8.0, centre=(30, 30, 30)), ball(14.0, centre=(10, 10, 12))
    rule, dice = choose_rule([(12.0 * tumour + 3.2 * atelectasis, tumour, SPACING)], suv=[3.0], fractions=[])
    assert dice == 1.0  # 10.5 above 1.5 in 2.1 ml against 1.7 in 11.5 ml
    rule, dice = choose_rule([(6.0 * tumour + 3.2 * atelectasis, atelectasis, SPACING)], suv=[3.0], fractions=[])
    assert dice == 1.0  # 4.5 in 2.1 ml against 1.7 in 11.5 ml


def test_a_seeded_threshold_looks_inside_the_mask_and_keeps_what_touches_it():
    label = ball(14.0)
    hot = 4.0 * label + 40.0 * ball(3.0, centre=(5, 5, 5))  # a hotter place elsewhere, as a heart
    gtv = ball(6.0)
    rule, dice = choose_seeded_rule([(hot, label, gtv)], suv=[50.0], fractions=[0.5])
    assert (rule.kind, rule.value, dice) == ("fraction", 0.5, 1.0)  # half of 4, not of 40
    assert not rule.mask(hot, np.zeros_like(gtv)).any()
    rule, dice = choose_seeded_rule([(hot, label, gtv)], suv=[3.0], fractions=[])
    assert (rule.kind, dice) == ("suv", 1.0)  # the heart is above it too, but apart
    assert not rule.mask(hot, ball(3.0, centre=(30, 5, 5))).any()


def test_subsets_are_nested_and_hold_whole_patients():
    pool = [
        {"case": f"p{patient:02d}_{cycle}", "patient": f"p{patient:02d}"} for patient in range(20) for cycle in (1, 2)
    ]
    chosen = {size: {case["case"] for case in labelled_subset(pool, size, seed=3)} for size in (5, 10, 20)}
    assert chosen[5] < chosen[10] < chosen[20] and len(chosen[5]) == 10
    assert {case["case"] for case in labelled_subset(pool[::-1], 5, seed=3)} == chosen[5]
    assert {case["case"] for case in labelled_subset(pool, 5, seed=4)} != chosen[5]
    with pytest.raises(ValueError, match="21 labelled patients are asked for, the pool has 20"):
        labelled_subset(pool, 21, seed=3)


def test_light_metrics_are_those_of_the_evaluation():
    label, pred = ball(14.0), ball(11.0, centre=(21, 20, 21))
    numbers = light_metrics(pred, label, SPACING)
    whole = case_metrics(pred, label, SPACING)
    assert numbers["dice_ends"] == pytest.approx((whole["dice_superior_end"] + whole["dice_inferior_end"]) / 2)
    for name, value in numbers.items():
        if name in whole:
            assert value == pytest.approx(whole[name]), name
    cut = light_metrics(pred, label, SPACING, cut_by=["superior", "left"])
    assert np.isnan(cut["dice_superior_end"]) and np.isnan(cut["dice_ends"])
    assert cut["dice_inferior_end"] == numbers["dice_inferior_end"] and cut["dice"] == numbers["dice"]
    missed = light_metrics(np.zeros_like(label), label, SPACING)
    assert missed["dice"] == missed["dice_ends"] == missed["coverage"] == 0
