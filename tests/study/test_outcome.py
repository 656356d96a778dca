"""Means, paired differences and decisions against numbers worked out by hand."""

import numpy as np
import pytest
from igtv.study.comparisons import compare_all, pairs
from igtv.study.decisions import INCOMPLETE, NO, OPEN, YES
from igtv.study.decisions import decide as decide_rule
from igtv.study.outcome import OUTCOMES, arm_summary, choose_rows, paired_outcome, per_patient, read_test
from igtv.study.plan import plan_from

RULE = {"name": "H", "question": "?", "metric": "dice", "first": "one", "second": "two", "above": 0.0, "hoped": 0.08}


def rows_of(arm, values, size=10, cycles=1):
    """values: {seed: [value of patient 0, 1, ...]}; every patient `cycles` times."""
    return [
        {"arm": arm, "size": size, "seed": seed, "case": f"p{number}_{cycle}", "patient": f"p{number}"}
        | dict.fromkeys(OUTCOMES, value)
        for seed, column in values.items()
        for number, value in enumerate(column)
        for cycle in range(cycles)
    ]


def decide(rule, rows, size, resamples, seeds=(0,), patients=None):
    return decide_rule(rule, rows, size, resamples, seeds, patients or {row["patient"] for row in rows})


def test_seeds_are_averaged_within_a_patient_first():
    rows = rows_of("one", {0: [0.2, 0.6], 1: [0.4, 0.8]})
    assert per_patient(rows, "dice") == pytest.approx({"p0": 0.3, "p1": 0.7})
    summary = arm_summary(rows, "dice", resamples=500)
    assert summary["mean"] == pytest.approx(0.5) and summary["n"] == 2
    assert summary["by_seed"] == pytest.approx({"0": 0.4, "1": 0.6})
    # t of one degree of freedom 12.7062, standard error 0.2
    assert (summary["ci_low"], summary["ci_high"]) == pytest.approx((0.5 - 2.54124, 0.5 + 2.54124), abs=1e-4)
    assert summary["interval"] == "t"


def test_many_patients_are_resampled_few_have_a_t_interval():
    """The percentile bootstrap of 8 patients is narrower than t, which covers what it says for normal differences."""
    values = np.random.default_rng(1).normal(0.5, 0.1, 20)
    many, few = (arm_summary(rows_of("one", {0: values[:count]}), "dice", 2000) for count in (20, 19))
    assert (many["interval"], few["interval"]) == ("bootstrap", "t")
    reach = 2.100922 * values[:19].std(ddof=1) / 19**0.5  # t of 18 degrees of freedom
    assert (few["ci_low"], few["ci_high"]) == pytest.approx((values[:19].mean() - reach, values[:19].mean() + reach))
    second = rows_of("two", {0: [0.4] * 8})
    paired = paired_outcome(rows_of("one", {0: values[:8]}), second, "dice", 500)
    reach = 2.364624 * values[:8].std(ddof=1) / 8**0.5
    assert paired["ci_high"] == pytest.approx(values[:8].mean() - 0.4 + reach)


def test_cycles_of_a_patient_do_not_narrow_the_interval():
    generator = np.random.default_rng(0)
    values = generator.uniform(0.2, 0.9, 8).tolist()
    one, four = (arm_summary(rows_of("one", {0: values}, cycles=cycles), "dice", 2000) for cycles in (1, 4))
    assert one == four


def test_a_paired_difference_by_hand():
    first = rows_of("one", {0: [0.5, 0.7, 0.9], 1: [0.7, 0.7, 0.7], 7: [0.0, 0.0, 0.0]})
    second = rows_of("two", {0: [0.4, 0.7, 0.5], 1: [0.6, 0.5, 0.5]})
    found = paired_outcome(first, second, "dice", resamples=2000)  # seed 7 has no partner
    assert found["mean_difference"] == pytest.approx(np.mean([0.1, 0.1, 0.3]))
    assert found["by_seed"] == pytest.approx({"0": 0.5 / 3, "1": 0.5 / 3})
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((1 / 6 - 0.286844, 1 / 6 + 0.286844), abs=1e-5)
    assert found["n"] == 3


def test_arms_that_cannot_be_paired_are_refused():
    first, second = rows_of("one", {0: [0.5, 0.7]}), rows_of("two", {1: [0.5, 0.7]})
    with pytest.raises(ValueError, match="no seed and patient in common"):
        paired_outcome(first, second, "dice")


def test_an_arm_without_seed_is_set_against_all_of_them():
    perfect = rows_of("perfect_gtv", {0: [0.1, 0.2]}, size=0)
    both = rows_of("one", {0: [0.5, 0.7], 1: [0.7, 0.9]})
    found = paired_outcome(both, perfect, "dice", 200)
    assert found["mean_difference"] == pytest.approx(0.55) and found["left_out"] == 0
    assert found["by_seed"] == pytest.approx({"0": 0.45, "1": 0.65})
    reverse = paired_outcome(perfect, both, "dice", 200)
    assert reverse["by_seed"] == pytest.approx({"0": -0.45, "1": -0.65})


def test_what_one_arm_lacks_does_not_count_for_the_other():
    """Two equal arms; one was not tested with seed 1 on p1, nor on p2 at all: no difference may come of it."""
    one = rows_of("one", {0: [0.5, 0.9, 0.3], 1: [0.7, 0.1, 0.3]})
    two = [row | {"arm": "two"} for row in one if (row["patient"], row["seed"]) != ("p1", 1) and row["patient"] != "p2"]
    found = paired_outcome(one, two, "dice", 200)
    assert (found["mean_difference"], found["n"], found["left_out"]) == (0.0, 2, 1)
    assert found["by_seed"] == {"0": 0.0, "1": 0.0}


def test_a_value_that_one_arm_lacks_does_not_count_for_the_other():
    """Where nothing is drawn there is no distance of the ends; the other arm's distance of that test has no partner."""
    one = rows_of("one", {0: [3.0, 5.0], 1: [9.0, 5.0]})
    two = [{**row, "arm": "two"} for row in one]
    two[2] = {**two[2], "end_distance_mm": float("nan")}  # seed 1 of p0
    assert paired_outcome(one, two, "end_distance_mm", 200)["mean_difference"] == 0.0
    found = paired_outcome(two, one, "end_distance_mm", 200)
    assert found["by_seed"] == {"0": 0.0, "1": 0.0} and (found["n"], found["left_out"]) == (2, 0)
    assert paired_outcome(one, two, "dice", 200)["n"] == 2


def test_the_median_tells_whether_a_few_patients_make_the_mean():
    first, second = rows_of("one", {0: [0.5, 0.5, 0.9]}), rows_of("two", {0: [0.5, 0.6, 0.3]})
    found = paired_outcome(first, second, "dice", 200)
    assert found["mean_difference"] == pytest.approx(0.5 / 3) and found["median_difference"] == 0.0
    assert (found["n_first_higher"], found["n_second_higher"]) == (1, 1)


def test_an_arm_without_labels_counts_at_every_size():
    rows = rows_of("one", {0: [0.5]}, size=0) + rows_of("two", {0: [0.5]}, size=5)
    assert len(choose_rows(rows, "one", 5)) == len(choose_rows(rows, "one", 40)) == 1
    assert choose_rows(rows, "two", 40) == []


@pytest.mark.parametrize(("gain", "verdict", "hoped"), [(0.1, YES, True), (0.03, YES, False), (-0.1, NO, False)])
def test_verdicts(gain, verdict, hoped):
    base = np.linspace(0.3, 0.8, 12)
    rows = rows_of("two", {0: base}) + rows_of("one", {0: base + gain + 0.01 * np.sin(np.arange(12))})
    decision = decide(RULE, rows, 10, 1000)
    assert (decision["verdict"], decision["reaches_hoped"]) == (verdict, hoped)


def test_nothing_is_said_of_a_hope_where_there_was_none():
    base = np.linspace(0.3, 0.8, 12)
    rows = rows_of("two", {0: base}) + rows_of("one", {0: base + 0.1})
    rule = {key: value for key, value in RULE.items() if key != "hoped"}
    assert "reaches_hoped" not in decide(rule, rows, 10, 200)


def test_an_interval_over_zero_decides_nothing():
    base = np.linspace(0.3, 0.8, 12)
    rows = rows_of("two", {0: base}) + rows_of("one", {0: base + 0.1 * np.sin(np.arange(12))})
    assert decide(RULE, rows, 10, 1000)["verdict"] == OPEN
    nothing = decide(RULE, rows, 5, 1000)  # nothing was tested there
    assert nothing["verdict"] == INCOMPLETE and nothing["difference"] is None


def test_a_verdict_waits_for_every_seed_and_patient():
    base = np.linspace(0.3, 0.8, 12)
    rows = rows_of("two", {0: base, 1: base}) + rows_of("one", {0: base + 0.1, 1: base + 0.1})
    assert decide(RULE, rows, 10, 500, seeds=(0, 1))["verdict"] == YES
    missing = decide(RULE, rows, 10, 500, seeds=(0, 1, 2))
    assert missing["verdict"] == INCOMPLETE and missing["missing"][0] == "one, seed 2: 12 of 12 patients"
    assert missing["difference"]["mean_difference"] == pytest.approx(0.1)
    without = [row for row in rows if (row["arm"], row["seed"], row["patient"]) != ("two", 1, "p3")]
    missing = decide(RULE, without, 10, 500, seeds=(0, 1))
    assert missing["missing"] == ["two, seed 1: 1 of 12 patients"] and missing["verdict"] == INCOMPLETE
    more = {row["patient"] for row in rows} | {"p99"}
    assert decide(RULE, rows, 10, 500, seeds=(0, 1), patients=more)["verdict"] == INCOMPLETE


def test_seeds_that_disagree_decide_nothing():
    """The interval over patients lies above 0, yet one of the trainings went the other way."""
    base = np.linspace(0.3, 0.7, 24)
    rows = rows_of("two", {0: base, 1: base, 2: base})
    for gains, verdict in (((0.2, 0.2, -0.02), OPEN), ((0.2, 0.2, 0.02), YES), ((-0.2, -0.1, 0.01), OPEN)):
        first = rows_of("one", {seed: base + gain for seed, gain in enumerate(gains)})
        decision = decide(RULE, rows + first, 10, 500, seeds=(0, 1, 2))
        assert decision["verdict"] == verdict
        assert decision["difference"]["ci_low"] * decision["difference"]["ci_high"] > 0


def test_the_better_control_on_validation_decides():
    """Longer training alone reaches what pre-training does: no credit for pre-training."""
    rule = RULE | {"control": "long"}
    base = np.linspace(0.3, 0.7, 24)
    rows = rows_of("one", {0: base + 0.1}) + rows_of("two", {0: base}) + rows_of("long", {0: base + 0.1})
    patients = {row["patient"] for row in rows}
    decision = decide_rule(rule, rows, 10, 300, (0,), patients, {"two": 0.4, "long": 0.5})
    assert (decision["against"], decision["verdict"]) == ("long", OPEN)
    assert decision["others"]["two"]["mean_difference"] == pytest.approx(0.1)
    decision = decide_rule(rule, rows, 10, 300, (0,), patients, {"two": 0.5, "long": 0.4})
    assert (decision["against"], decision["verdict"]) == ("two", YES)
    assert decide_rule(rule, rows, 10, 300, (0,), patients, {"two": 0.5})["verdict"] == INCOMPLETE


def test_a_gain_bought_with_a_loss_is_no_support():
    base = np.linspace(0.3, 0.8, 12)
    rows = rows_of("two", {0: base}) + rows_of("one", {0: base + 0.1})
    for row in rows:
        if row["arm"] == "one":
            row["coverage"] = row["coverage"] - 0.13  # a net loss of 0.03
    for margin, verdict, held in ((0.02, OPEN, False), (0.04, YES, True)):
        rule = RULE | {"no_loss_metric": "coverage", "no_loss_margin": margin}
        decision = decide(rule, rows, 10, 1000)
        assert (decision["verdict"], decision["no_loss"]["held"]) == (verdict, held)


def test_comparisons_change_one_thing_at_a_time(choices):
    plan = plan_from(choices("full"))
    found = set(pairs(plan))
    assert ("pre-training", "pretrained_cipa_B", "scratch_cipa_B") in found
    assert ("slice interaction", "pretrained_rectified_B", "pretrained_rectified_none") in found
    assert ("fusion", "scratch_cipa_none", "scratch_rectified_none") in found
    assert ("our network or a CNN", "pretrained_rectified_B", "pretrained_segresnet") in found
    assert ("learning from IGTV", "pretrained_rectified_B", "margin_rectified_B") in found
    assert ("learning from IGTV", "moved_rectified_B", "moved_zero_shot_rectified_B") in found
    assert ("pre-training with breathing", "moved_rectified_none", "scratch_long_rectified_none") in found
    assert sum(question == "slice interaction" for question, *_ in found) == 3 * 2 + 1
    rows = rows_of("scratch_cipa_B", {0: [0.5, 0.6]}) + rows_of("scratch_cipa_none", {0: [0.4, 0.5]})
    rows += rows_of("scratch_cipa_B", {0: [0.5, 0.6, 0.7]})[2:]  # one patient that the other was not tested on
    table = compare_all(plan, rows, [10])
    assert {(entry["n"], entry["left_out"]) for entry in table} == {(2, 1)}
    assert {(entry["first"], entry["second"]) for entry in table} == {("scratch_cipa_B", "scratch_cipa_none")}
    assert [entry["metric"] for entry in table] == list(OUTCOMES)


def test_empty_cells_are_nan(tmp_path):
    ends = "dice_superior_end,dice_inferior_end,end_error_superior_mm,end_error_inferior_mm"
    (tmp_path / "metrics.csv").write_text(f"case,patient,dice,coverage,{ends}\nc,p,0.5,,0.1,,-3,6\n")
    (row,) = read_test(tmp_path, "one", 5, 2)
    assert (row["arm"], row["size"], row["seed"], row["patient"], row["dice"]) == ("one", 5, 2, "p", 0.5)
    assert np.isnan(row["coverage"]) and np.isnan(row["dice_inferior_end"])
    assert row["end_distance_mm"] == 3.0  # of the end that has a Dice
