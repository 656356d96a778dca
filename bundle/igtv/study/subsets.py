"""Which patients are labelled: drawn by a seed, nested, the same for every arm."""

from collections.abc import Mapping, Sequence

import numpy as np


def labelled_subset(pool: Sequence[Mapping], size: int, seed: int) -> list[Mapping]:
    """The cases of `size` patients of the pool.

    The patients come in one order per seed, of which the first `size` are taken: those of a smaller subset are
    within every larger one of the same seed.

    Args:
        pool: cases with `patient` and `case`; all cases of a drawn patient come along.
        size: number of patients.
        seed: of the order.

    Raises:
        ValueError: the pool has fewer patients.
    """
    patients = sorted({case["patient"] for case in pool})
    if not 1 <= size <= len(patients):
        raise ValueError(f"{size} labelled patients are asked for, the pool has {len(patients)}")
    order = np.random.default_rng(seed).permutation(len(patients))
    drawn = {patients[index] for index in order[:size]}
    return sorted((case for case in pool if case["patient"] in drawn), key=lambda case: case["case"])
