"""Stochastic depth: which samples lose their branch, what the others gain, and the rates of a stage's blocks."""

import pytest
import torch
from igtv.networks.drop_path import DropPath, linear_rates


def test_whole_samples_are_dropped_and_the_rest_makes_up_for_them():
    torch.manual_seed(0)
    x = torch.rand(4000, 3, 2) + 1  # nowhere 0
    y = DropPath(0.2).train()(x)
    dropped = (y == 0).flatten(1)
    assert torch.equal(dropped.any(1), dropped.all(1))
    kept = ~dropped.all(1)
    torch.testing.assert_close(y[kept], x[kept] / 0.8)
    assert abs(kept.float().mean() - 0.8) < 4 * (0.8 * 0.2 / 4000) ** 0.5  # four standard deviations


def test_nothing_is_dropped_in_evaluation_or_at_rate_0():
    x = torch.rand(50, 3)
    assert torch.equal(DropPath(0.9).eval()(x), x)
    assert torch.equal(DropPath(0.0).train()(x), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rates_beyond_0_to_1_are_refused(rate):
    with pytest.raises(ValueError, match=r"drop_path_rate must be in \[0, 1\), got"):
        DropPath(rate)


def test_rates_rise_evenly_from_0():
    assert linear_rates(0.3, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert linear_rates(0.3, 1) == [0.0]
