"""Which of several rules that need no learning fits the labelled patients best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .masks import crop_to_foreground
from .overlap import dice


def mean_dice_by_rule(
    rules: Sequence[Callable[..., np.ndarray]],
    cases: Iterable[tuple[np.ndarray, Sequence]],
    patients: Sequence[str] | None = None,
) -> np.ndarray:
    """Mean Dice of every rule over the patients with a tumour; the cases of a patient are averaged first.

    Args:
        rules: each makes a mask (X, Y, Z) from the images of a case.
        cases: boolean reference (X, Y, Z), and what the rules take; cases with an empty reference do not count. One is
            held at a time, so a generator keeps memory flat.
        patients: whose case each one is; None: every one of a patient with no other.

    Returns:
        One number per rule.

    Raises:
        ValueError: no case with a tumour.
    """
    table: dict[str | int, list[list[float]]] = {}
    for position, (label, images) in enumerate(cases):
        if label.any():
            row = [dice(*crop_to_foreground(rule(*images), label)) for rule in rules]
            table.setdefault(position if patients is None else patients[position], []).append(row)
    if not table:
        raise ValueError("no training case with a tumour: the threshold cannot be chosen")
    return np.mean([np.mean(rows, axis=0) for rows in table.values()], axis=0)
