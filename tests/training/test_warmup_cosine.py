"""Shares of the learning rate, by hand."""

import pytest
import torch
from igtv.training.warmup_cosine import WarmupCosine


def rates(warmup_steps, total_steps, multipliers=(1.0,)):
    """Rates of each group at every step of a training, for a whole rate of 1."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": m} for m in multipliers]
    optimizer = torch.optim.SGD(groups)
    schedule = WarmupCosine(optimizer, warmup_steps, total_steps)
    seen = []
    for _ in range(total_steps + 1):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return seen


def test_rises_in_a_line_and_falls_by_half_a_cosine():
    """Up by 0.99 / 2 a step; the cosine at a quarter, half and three quarters: (1 + sqrt(1/2)) / 2, 1/2, the rest."""
    seen = [share for (share,) in rates(2, 6)]
    assert seen == pytest.approx([0.01, 0.505, 1.0, 0.853553, 0.5, 0.146447, 0.01], abs=1e-6)


def test_all_groups_keep_their_proportion_to_the_end():
    for slow, usual, fast in rates(2, 10, (0.005, 1.0, 10.0)):
        assert slow == pytest.approx(0.005 * usual) and fast == pytest.approx(10 * usual)


def test_without_warm_up_it_begins_with_the_whole_rate(caplog):
    assert rates(0, 2) == [[1.0], [0.5], [pytest.approx(0.01)]]
    assert not caplog.records


def test_a_warm_up_without_end_is_said(caplog):
    assert rates(4, 3)[-1] == [pytest.approx(0.01 + 0.99 * 3 / 4)]
    assert "the learning rate rises and does not fall" in caplog.text
    with pytest.raises(ValueError, match="warmup_epochs must be 0 or more"):
        rates(-1, 3)


def test_goes_on_after_a_resume():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    first = WarmupCosine(optimizer, 2, 6)
    for _ in range(3):
        optimizer.step()
        first.step()
    second = WarmupCosine(optimizer, 2, 6)
    second.load_state_dict(first.state_dict())
    optimizer.step()
    second.step()
    assert second.get_last_lr() == pytest.approx([0.5])
