import numpy as np
import pytest
import torch
from igtv.data.epoch_sampler import EpochSampler
from igtv.data.slab_dataset import SlabDataset, cut_slab
from igtv.transforms.in_plane_warp import RandInPlaneWarpd
from igtv.transforms.intensity import RandCtIntensityd, RandPetIntensityd
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose

CASES = [{"case": f"P{number}"} for number in range(5)]


def preprocess(case):
    """A volume whose CT counts voxels and whose PET shows the tumour; each case has a size of its own."""
    number = int(case["case"][1:])
    shape = (20 + number, 24, 16)
    image = torch.linspace(-1, 1, int(np.prod(shape))).reshape(1, *shape).repeat(2, 1, 1, 1)
    label = torch.zeros(1, *shape)
    label[:, 8:14, 6:12, 5:11] = 1
    image[1] = label[0] * 2 - 1
    return {"image": MetaTensor(image), "label": MetaTensor(label), **case}


def make(**changes):
    settings = {"patch_size": (16, 16), "num_slices": 4, "progress": False, **changes}
    return SlabDataset(CASES, preprocess, **settings)


def augmentation():
    return Compose([RandInPlaneWarpd(output_size=(16, 16)), RandPetIntensityd(), RandCtIntensityd()])


def same(one, other):
    return one["case"] == other["case"] and all(torch.equal(one[key], other[key]) for key in ("image", "label"))


def test_sample_is_plain_float_tensors():
    sample = make()[7]
    assert sample["image"].shape == (2, 16, 16, 4) and sample["label"].shape == (1, 16, 16, 4)
    for key in ("image", "label"):
        assert type(sample[key]) is torch.Tensor and sample[key].dtype == torch.float32 and sample[key].is_contiguous()
    assert set(sample["label"].unique().tolist()) <= {0.0, 1.0}


def test_image_and_label_are_cut_at_the_same_place():
    dataset = make(margin=3)
    for index in range(40):
        sample = dataset[index]
        assert torch.equal((sample["image"][1] > 0).float(), sample["label"][0])


def test_sample_depends_on_seed_and_index_only():
    one, other = make(augmentation=augmentation(), margin=4), make(augmentation=augmentation(), margin=4)
    straight = [one[index] for index in range(20)]
    backwards = [other[index] for index in reversed(range(20))][::-1]
    assert all(same(*pair) for pair in zip(straight, backwards, strict=True))
    elsewhere = make(augmentation=augmentation(), margin=4, seed=1)
    assert not any(same(straight[index], elsewhere[index]) for index in range(20))
    assert not same(straight[0], straight[len(CASES)])


def test_number_of_workers_changes_nothing():
    batches = []
    for num_workers in (0, 2):
        sampler = EpochSampler(6)
        sampler.set_epoch(3)
        torch.manual_seed(num_workers)
        loader = DataLoader(make(augmentation=augmentation()), batch_size=2, sampler=sampler, num_workers=num_workers)
        batches.append(list(loader))
    for one, other in zip(*batches, strict=True):
        assert one["image"].shape == (2, 2, 16, 16, 4)
        assert one["case"] == other["case"] and torch.equal(one["image"], other["image"])


def test_every_case_comes_once_per_round():
    dataset = make()
    rounds = [[dataset[5 * number + place]["case"] for place in range(5)] for number in range(6)]
    assert all(sorted(cases) == ["P0", "P1", "P2", "P3", "P4"] for cases in rounds)
    assert len({tuple(cases) for cases in rounds}) > 1


def test_kinds_come_as_often_as_asked():
    dataset = make(end_probability=0.25, inside_probability=0.25, free_probability=0.5, patch_size=(8, 8))
    kinds = [dataset[index]["kind"] for index in range(400)]
    for kind, share in (("end", 0.25), ("inside", 0.25), ("free", 0.5)):
        assert kinds.count(kind) / 400 == pytest.approx(share, abs=0.08)
    assert {make(end_probability=1, inside_probability=0, free_probability=0)[i]["kind"] for i in range(9)} == {"end"}


def test_cut_slab_pads_with_background_and_repeats_slices():
    volume = np.arange(2 * 3 * 4 * 2, dtype=np.float16).reshape(2, 3, 4, 2)
    slab = cut_slab(torch.from_numpy(volume), (-1, 2, 0), (5, 3, 4), -7.0).numpy()
    assert slab.dtype == np.float32
    np.testing.assert_array_equal(slab[:, 1:4, :2, :2], volume[:, :, 2:4])
    np.testing.assert_array_equal(slab[..., 3], slab[..., 1])
    assert (slab[:, [0, 4]] == -7).all() and (slab[:, :, 2] == -7).all()
    assert (cut_slab(torch.from_numpy(volume), (9, 0, 0), (2, 2, 2), -7.0) == -7).all()


def test_case_without_tumour_is_logged_and_gives_free_slabs(caplog):
    def empty(case):
        data = preprocess(case)
        data["label"][:] = 0
        return data

    dataset = SlabDataset(CASES, empty, (16, 16), 4, progress=False)
    assert {dataset[index]["kind"] for index in range(10)} == {"free"}
    assert "P3: no tumour in the preprocessed label" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end_probability": 0.9}, "end_probability=0.9, .* add up to 1"),
        ({"patch_size": (16, 0)}, r"patch_size=\(16, 0\)"),
        ({"num_slices": 0}, "num_slices=0"),
        ({"margin": -1}, "margin=-1"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_no_case_and_wrong_shapes():
    with pytest.raises(ValueError, match="no case to sample"):
        SlabDataset([], preprocess)
    with pytest.raises(ValueError, match=r"P0: preprocessing gave image \(1, 20, 24, 16\)"):
        SlabDataset(CASES, lambda case: {**preprocess(case), "image": preprocess(case)["image"][:1]}, progress=False)
