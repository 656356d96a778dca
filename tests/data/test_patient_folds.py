"""Patients dealt to folds: everyone once, evenly, alike for one seed."""

from collections import Counter

import numpy as np
import pytest
from igtv.data.patient_folds import deal_to_folds

PATIENTS = [f"p{number:02d}" for number in range(11)]


@pytest.mark.parametrize("num_folds", [1, 2, 5, 11])
def test_everyone_has_a_fold_and_folds_differ_by_one_patient_at_most(num_folds):
    folds = deal_to_folds(PATIENTS, num_folds, 0)
    sizes = Counter(folds.values())
    assert sorted(folds) == PATIENTS
    assert sorted(sizes) == list(range(num_folds)) and max(sizes.values()) - min(sizes.values()) <= 1


def test_patients_are_dealt_like_cards_in_the_seed_s_order():
    order = [PATIENTS[index] for index in np.random.RandomState(7).permutation(11)]
    assert deal_to_folds(PATIENTS, 3, 7) == {patient: index % 3 for index, patient in enumerate(order)}


def test_the_seed_decides():
    assert deal_to_folds(PATIENTS, 5, 1) == deal_to_folds(PATIENTS, 5, 1) != deal_to_folds(PATIENTS, 5, 2)
