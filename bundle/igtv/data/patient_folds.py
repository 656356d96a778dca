"""Deals patients to the folds of a cross-validation."""

from collections.abc import Sequence

import numpy as np


def deal_to_folds(patients: Sequence[str], num_folds: int, seed: int) -> dict[str, int]:
    """Fold of every patient, from 0, as even as can be.

    Args:
        patients: names, each once; the same order and seed give the same folds.
        num_folds: at least 1.
        seed: of the order in which they are dealt.
    """
    order = np.random.RandomState(seed).permutation(len(patients))
    return {patients[patient]: position % num_folds for position, patient in enumerate(order)}
