import pytest
from igtv.data.epoch_sampler import EpochSampler


def indices(epoch, *settings):
    sampler = EpochSampler(*settings)
    sampler.set_epoch(epoch)
    numbers = list(sampler)
    assert len(numbers) == len(sampler)
    return numbers


def test_epochs_follow_each_other():
    assert indices(0, 4) == [0, 1, 2, 3]
    assert indices(3, 4) == [12, 13, 14, 15]


def test_processes_share_an_epoch_evenly():
    assert [indices(1, 6, rank, 3) for rank in range(3)] == [[6, 9], [7, 10], [8, 11]]
    uneven = [indices(2, 5, rank, 2) for rank in range(2)]
    assert uneven == [[12, 14, 16], [13, 15, 17]]


@pytest.mark.parametrize("settings", [(0,), (4, 2, 2), (4, -1, 2)])
def test_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="epoch_length="):
        EpochSampler(*settings)
    with pytest.raises(ValueError, match="epoch=-1"):
        EpochSampler(4).set_epoch(-1)
