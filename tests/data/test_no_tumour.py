"""A label that says 'no tumour' is a negative to learn from; any other empty label stays a mistake."""

import logging

import nibabel as nib
import numpy as np
import pytest
import torch
from igtv.data.checks import find_problem
from igtv.data.datalist import read_datalist, split_cases
from igtv.data.slab_dataset import SlabDataset


def test_only_who_says_so_may_have_an_empty_label(make_case):
    sound = make_case()
    image = nib.load(sound["label"])
    nothing = np.zeros(image.shape, np.uint8)
    nib.save(nib.Nifti1Image(nothing, image.affine), sound["label"])
    assert "is empty: no voxel is marked" in find_problem(sound)
    assert find_problem({**sound, "no_tumour": True}) is None
    nothing[2, 2, 2] = 1
    nib.save(nib.Nifti1Image(nothing, image.affine), sound["label"])
    assert "marks 1 voxels as tumour, but `no_tumour`" in find_problem({**sound, "no_tumour": True})


def test_datalist_hands_it_on(write_datalist):
    item = {"ct": "a/ct.nii.gz", "pet": "a/pet.nii.gz", "label": "a/label.nii.gz", "no_tumour": True}
    other = {"ct": "b/ct.nii.gz", "pet": "b/pet.nii.gz", "label": "b/label.nii.gz", "no_tumour": False}
    listing = read_datalist(write_datalist(training=[item, other], validation=[other | {"ct": "c/ct.nii.gz"}]))
    first, second = split_cases(listing, 0, "training")
    assert first["no_tumour"] is True and "no_tumour" not in second


@pytest.mark.parametrize("change", [{"no_tumour": "yes"}, {"no_tumour": 1}, {"no_tumour": True, "label": None}])
def test_what_it_is_not(write_datalist, change):
    item = {"ct": "a/ct.nii.gz", "pet": "a/pet.nii.gz", "label": "a/label.nii.gz", **change}
    with pytest.raises(ValueError, match="training.0.: `no_tumour` is"):
        read_datalist(write_datalist(training=[item]))


def test_its_slabs_hold_no_tumour_whatever_kind_is_drawn(caplog):
    def preprocess(case):
        label = torch.zeros(1, 20, 20, 10)
        if case["case"] == "with":
            label[:, 8:12, 8:12, 3:6] = 1
        return {"image": torch.rand(2, 20, 20, 10, generator=torch.Generator().manual_seed(0)), "label": label}

    cases = [{"case": "with"}, {"case": "without", "no_tumour": True}]
    with caplog.at_level(logging.WARNING):
        dataset = SlabDataset(cases, preprocess, patch_size=(8, 8), num_slices=3, progress=False, free_probability=0.2)
    assert caplog.text == ""
    samples = [dataset[index] for index in range(20)]
    negatives = [sample for sample in samples if sample["case"] == "without"]
    assert len(negatives) == 10 and all(sample["kind"] == "free" for sample in negatives)
    assert not any(sample["label"].any() for sample in negatives)
    assert any(sample["label"].any() for sample in samples)
