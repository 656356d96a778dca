"""Answers on the grid that was asked for."""

import numpy as np
from lib.infer.answers import Grid, on_grid


def test_values_stay_where_a_grid_differs_by_rounding_only():
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    volume = np.random.default_rng(0).random((512, 4, 4)).astype(np.float32)
    shifted, wider = affine.copy(), affine.copy()
    shifted[0, 3] += 0.02
    wider[0, 0] += 0.0009  # 0.46 mm at the far end
    for other, same in ((shifted, True), (wider, False)):
        assert np.array_equal(on_grid(volume, other, Grid(volume.shape, affine), nearest=False), volume) == same
