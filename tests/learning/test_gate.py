"""The rule by numbers worked out by hand."""

import pytest
from igtv.learning.gate import GateRule, by_patient, judge

RULE = GateRule(margin=0.01, max_case_drop=0.2, outweighing_gain=0.05)
CURRENT = {"a": 0.8, "b": 0.6, "c": 0.7}  # mean 0.7


def decide(**candidate):
    return judge(CURRENT, candidate, RULE)


def test_a_better_one_is_accepted():
    report = decide(a=0.85, b=0.65, c=0.75)
    assert report["accepted"]
    assert report["dice"] == pytest.approx({"current": 0.7, "candidate": 0.75, "difference": 0.05})


def test_within_the_margin_it_is_accepted_beyond_it_refused():
    assert decide(a=0.77, b=0.6, c=0.7)["accepted"]  # exactly 0.01 lower
    refused = decide(a=0.767, b=0.6, c=0.7)
    assert not refused["accepted"]
    assert "lower than 0.700" in refused["reasons"][0] and "margin of 0.01" in refused["reasons"][0]


def test_one_patient_lost_is_not_hidden_by_the_mean():
    report = decide(a=0.95, b=0.35, c=0.85)  # mean 0.717, b falls by 0.25
    assert not report["accepted"]
    assert report["reasons"] == ["b falls from 0.600 to 0.350, by more than 0.2"]
    assert report["cases"][0]["case"] == "b"  # worst first


def test_a_clear_gain_outweighs_one_patient_and_says_so():
    report = decide(a=1.0, b=0.35, c=0.95)  # mean 0.767
    assert report["accepted"] and "outweighs that b fell" in report["reasons"][0]


def test_a_patient_without_a_number_counts_as_lost():
    report = decide(a=0.8, b=float("nan"), c=0.7)
    assert not report["accepted"] and report["cases"][0]["candidate"] == 0.0


def test_a_patient_with_several_cases_counts_once():
    """p has a and b, q has c: (0.8 + 0.6) / 2 = 0.7; with b lost 0.4, though the mean of the cases says more."""
    patients = {"a": "p", "b": "p", "c": "q"}
    before = by_patient(CURRENT, patients)
    assert before == pytest.approx({"a, b": 0.7, "c": 0.7})
    after = by_patient({"c": 0.9, "b": float("nan"), "a": 0.8}, patients)
    assert after == pytest.approx({"a, b": 0.4, "c": 0.9})
    report = judge(before, after, RULE)
    assert report["dice"] == pytest.approx({"current": 0.7, "candidate": 0.65, "difference": -0.05})
    assert "a, b falls from 0.700 to 0.400" in report["reasons"][1]


def test_only_the_same_patients_are_compared():
    with pytest.raises(ValueError, match="same patients"):
        judge(CURRENT, {"a": 0.9, "b": 0.9}, RULE)
    with pytest.raises(ValueError, match="same patients"):
        judge({}, {}, RULE)


def test_the_rule_is_in_the_report_and_its_numbers_are_dice():
    assert decide(a=0.9, b=0.9, c=0.9)["rule"] == {"margin": 0.01, "max_case_drop": 0.2, "outweighing_gain": 0.05}
    with pytest.raises(ValueError, match="margin=-0.1"):
        GateRule(margin=-0.1)


def sequence(start, steps):
    """Whether each candidate was accepted, one after the other from `start`; `steps` are differences by patient."""
    ancestors, current, told = {}, start, []
    for number, step in enumerate(steps, start=1):
        candidate = {case: value + step[case] for case, value in current.items()}
        report = judge(current, candidate, RULE, ancestors)
        told.append(report)
        if report["accepted"]:
            ancestors, current = {**ancestors, f"v{number:04d}": current}, candidate
    return told


def test_the_mean_does_not_fall_step_by_step():
    start = dict.fromkeys("abcde", 0.8)
    told = sequence(start, [dict.fromkeys("abcde", -0.0099)] * 15)
    assert [report["accepted"] for report in told] == [True] + [False] * 14
    text = (
        "mean Dice 0.780 is lower than 0.800 of v0001, from which the current model descends, by more than the margin"
    )
    assert told[1]["reasons"] == [text + " of 0.01"]
    assert told[1]["ancestors"] == {"v0001": pytest.approx(0.8)} and told[0]["ancestors"] == {}


def test_a_patient_is_not_lost_step_by_step():
    """The mean stays, as the others rise by what is lost."""
    told = sequence({"a": 0.8, "b": 0.5, "c": 0.5, "d": 0.5}, [{"a": -0.199, "b": 0.065, "c": 0.065, "d": 0.065}] * 4)
    assert [report["accepted"] for report in told] == [True, False, False, False]
    assert told[1]["reasons"] == [
        "a falls from 0.800 with v0001, from which the current model descends, to 0.402, by more than 0.2"
    ]


def test_small_ups_and_downs_are_accepted():
    changes = [0.008, -0.008, 0.005, -0.006, 0.009, -0.005, 0.004, -0.009]
    steps = [{"a": change, "b": -change, "c": change} for change in changes] * 3
    assert all(report["accepted"] for report in sequence(CURRENT, steps))


def test_a_gain_that_outweighed_a_patient_still_does_in_the_next_cycle():
    """b fell by 0.3 while the mean rose by 0.07: it is not held against later ones that keep what was gained."""
    told = sequence(CURRENT, [{"a": 0.2, "b": -0.3, "c": 0.31}, {"a": -0.005, "b": 0.0, "c": 0.0}])
    assert [report["accepted"] for report in told] == [True, True]
    lost_again = sequence(CURRENT, [{"a": 0.2, "b": -0.3, "c": 0.31}, {"a": -0.01, "b": 0.04, "c": -0.25}])
    assert not lost_again[1]["accepted"]


def test_ancestors_hold_the_same_patients_too():
    with pytest.raises(ValueError, match="same patients: v0001 has"):
        judge(CURRENT, CURRENT, RULE, {"v0001": {"a": 0.9}})
