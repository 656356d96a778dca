"""The report's page says of how many patients a number is."""

import numpy as np
from igtv.study.outcome import arm_summary, paired_outcome
from igtv.study.page import interval_text, signed_text

NAN = float("nan")


def rows(arm: str, values: list[float]) -> list[dict]:
    return [
        {"arm": arm, "size": 1, "seed": 0, "case": f"c{k}", "patient": f"p{k}", "dice_ends": value}
        for k, value in enumerate(values)
    ]


def test_a_number_of_all_patients_is_given_alone():
    first, second = rows("a", [0.5, 0.5]), rows("b", [0.25, 0.25])
    assert interval_text(arm_summary(first, "dice_ends"), "dice_ends") == "0.500 [0.500, 0.500]"
    assert signed_text(paired_outcome(first, second, "dice_ends"), "dice_ends") == "+0.250 [+0.250, +0.250]"


def test_patients_whose_ends_are_cut_or_who_were_not_tested_are_said():
    first, second = rows("a", [0.5, 0.5, NAN]), rows("b", [0.25, 0.25, 0.25])
    assert interval_text(arm_summary(first, "dice_ends"), "dice_ends").endswith("] (2 patients)")
    assert signed_text(paired_outcome(first, second, "dice_ends"), "dice_ends").endswith("] (2 patients)")
    fewer = paired_outcome(first[:2], second, "dice_ends")
    assert signed_text(fewer, "dice_ends") == "+0.250 [+0.250, +0.250] (2 patients)"


def test_a_number_of_nobody_is_a_dash():
    assert interval_text(arm_summary(rows("a", [np.nan]), "dice_ends"), "dice_ends") == "–"
