"""From evaluator to files: on the CT's own grid, whatever its orientation, and one bad case never stops the others."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
from igtv.files import file_sha256
from igtv.inference.case_evaluator import CaseDataset, TolerantEvaluator, failure_text
from igtv.inference.case_measures import measure
from igtv.inference.case_writer import CaseWriter
from igtv.inference.ct_grid import on_ct_grid, pet_on_ct_grid
from igtv.inference.uncertainty import PredictiveEntropyd
from monai.data import DataLoader, MetaTensor
from monai.inferers import SimpleInferer
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    ConcatItemsd,
    CopyItemsd,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    ResampleToMatchd,
    Spacingd,
)

# a CT as scanners write it: x to the left, y to the back, slightly tilted about x
TILT = np.deg2rad(8)
AFFINE = np.array(
    [
        [-2.0, 0, 0, 30.0],
        [0, -2.0 * np.cos(TILT), -3.0 * np.sin(TILT), 40.0],
        [0, -2.0 * np.sin(TILT), 3.0 * np.cos(TILT), -500.0],
        [0, 0, 0, 1],
    ]
)
SHAPE = (24, 28, 12)
TUMOUR = (slice(6, 12), slice(10, 18), slice(4, 9))


def make_case(folder, name):
    """CT with a tumour of SUV 8; the PET on a coarser grid that covers the CT."""
    (folder / name).mkdir(parents=True)
    ct = np.full(SHAPE, -800, np.int16)
    ct[TUMOUR] = 40
    image = nib.Nifti1Image(ct, AFFINE)
    image.header["descrip"] = b"Doe^Jane"
    nib.save(image, folder / name / "ct.nii.gz")
    pet_affine = AFFINE @ np.diag([2, 2, 1, 1.0])
    pet = np.full((12, 14, 12), 0.5, np.float32)
    pet[3:6, 5:9, 4:9] = 8
    nib.save(nib.Nifti1Image(pet, pet_affine), folder / name / "pet.nii.gz")
    return {"case": name, "ct": str(folder / name / "ct.nii.gz"), "pet": str(folder / name / "pet.nii.gz")}


def preprocessing():
    return Compose(
        [
            LoadImaged(("ct", "pet")),
            EnsureChannelFirstd(("ct", "pet")),
            ResampleToMatchd("pet", "ct"),
            ConcatItemsd(("ct", "pet"), "image"),
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=(2.0, 2.0, 2.0)),
        ]
    )


class ThresholdNetwork(torch.nn.Module):
    """Soft tissue is tumour: logits from the CT channel alone."""

    def forward(self, x):
        if x[:, :1].max() < -700:
            raise RuntimeError("network found no tissue in /data/Doe_Jane/ct.nii.gz")
        return (x[:, :1] + 400) / 50


def evaluate(cases, writer):
    transforms = preprocessing()
    postprocessing = Compose(
        [
            Activationsd("pred", sigmoid=True),
            Invertd("pred", transforms, orig_keys="image", nearest_interp=False, to_tensor=True),
            CopyItemsd("pred", names="probability"),
            PredictiveEntropyd(),
            AsDiscreted("pred", threshold=0.5),
        ]
    )
    evaluator = TolerantEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(CaseDataset(cases, transforms), batch_size=1, num_workers=0),
        network=ThresholdNetwork(),
        inferer=SimpleInferer(),
        postprocessing=postprocessing,
        val_handlers=[writer],
    )
    evaluator.run()
    return evaluator


def test_results_land_on_the_grid_of_the_ct(tmp_path):
    cases = [make_case(tmp_path / "data", name) for name in ("P1", "P2")]
    writer = CaseWriter(
        tmp_path / "out", cases, ("mask", "overlay", "probability", "uncertainty"),
        model_card={"name": "Test model", "task": "gtv", "sha256": "0" * 64}, progress=False,
    )  # fmt: skip
    evaluate(cases, writer)
    folder = tmp_path / "out" / "P1"
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "manifest.json", "overlay.png", "pred.nii.gz", "probability.nii.gz", "uncertainty.nii.gz",
    ]  # fmt: skip
    pred, probability, entropy = (nib.load(folder / f"{n}.nii.gz") for n in ("pred", "probability", "uncertainty"))
    for image in (pred, probability, entropy):
        assert image.shape == SHAPE and b"Doe" not in image.header.binaryblock
        np.testing.assert_allclose(image.affine, nib.load(cases[0]["ct"]).affine, atol=1e-5)
    assert pred.get_data_dtype() == np.uint8 and probability.get_data_dtype() == np.float32
    truth = np.zeros(SHAPE, bool)
    truth[TUMOUR] = True
    mask = np.asarray(pred.dataobj)
    assert set(np.unique(mask)) == {0, 1}
    assert 2 * (mask.astype(bool) & truth).sum() / (mask.sum() + truth.sum()) > 0.8  # resampled there and back
    assert probability.get_fdata()[8, 13, 6] > 0.99 and entropy.get_fdata()[8, 13, 6] < 0.1
    assert probability.get_fdata().min() >= 0 and entropy.get_fdata().max() <= 1

    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["case"] == "P1" and manifest["model"]["name"] == "Test model"
    assert len(manifest["inputs"]["ct"]["sha256"]) == 64 and manifest["result"]["suv_max"] == 8
    assert manifest["masks"] == {"pred.nii.gz": {"sha256": file_sha256(folder / "pred.nii.gz")}}
    assert str(tmp_path) not in (folder / "manifest.json").read_text()
    with open(tmp_path / "out" / "summary.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == ["P1", "P2"]
    assert float(rows[0]["volume_ml"]) == pytest.approx(mask.sum() * 12 / 1000, abs=2e-3)
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert predictions["predictions"][1]["pred"] == "P2/pred.nii.gz" and predictions["failed"] == []


def test_nothing_of_an_earlier_mask_stays_beside_a_new_one(tmp_path):
    """Another run writes less: its mask must not lie beside the maps and the picture of the one before."""
    case = {**make_case(tmp_path / "data", "P1"), "label": str(tmp_path / "elsewhere.nii.gz")}  # not needed, not there
    evaluate([case], CaseWriter(tmp_path / "out", [case], ("mask", "overlay", "probability"), progress=False))
    evaluate([case], CaseWriter(tmp_path / "out", [case], ("mask",), progress=False))
    left = sorted(entry.name for entry in (tmp_path / "out" / "P1").iterdir())
    assert left == ["manifest.json", "pred.nii.gz"]


def test_a_corrected_mask_is_kept_when_its_case_is_segmented_once_more(tmp_path):
    case = make_case(tmp_path / "data", "P1")
    folder = tmp_path / "out" / "P1"

    def segment():
        evaluate([case], CaseWriter(tmp_path / "out", [case], ("mask",), progress=False))

    segment()
    proposed = nib.load(folder / "pred.nii.gz").get_fdata()
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), nib.load(case["ct"]).affine), folder / "pred.nii.gz")
    segment()
    assert nib.load(folder / "pred_corrected.nii.gz").get_fdata().all()
    np.testing.assert_array_equal(nib.load(folder / "pred.nii.gz").get_fdata(), proposed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pet: np.where(np.indices(pet.shape).sum(0) == 0, np.nan, pet), "1 NaN or infinite"),
        (lambda pet: pet * 5000, "is not in SUV"),
    ],
)
def test_a_case_that_nothing_has_checked_is_checked(tmp_path, change, message):
    """Such a PET would give a mask like any other, an empty one or one with holes."""
    case = make_case(tmp_path / "data", "P1")
    pet = nib.load(case["pet"])
    nib.save(nib.Nifti1Image(change(pet.get_fdata()).astype(np.float32), pet.affine), case["pet"])
    item = CaseDataset([case], preprocessing(), check=True)[0]
    assert message in item["failure"] and str(tmp_path) not in item["failure"]
    assert "failure" not in CaseDataset([make_case(tmp_path / "good", "P2")], preprocessing(), check=True)[0]


def test_failures_are_reported_and_the_others_go_on(tmp_path):
    """One CT cannot be read, the network fails on another, a third cannot be written; the fourth is done."""
    cases = [make_case(tmp_path / "data", name) for name in ("broken", "blank", "unwritable", "good")]
    (tmp_path / "data" / "broken" / "ct.nii.gz").write_bytes(b"not an image")
    nib.save(nib.Nifti1Image(np.full(SHAPE, -900, np.int16), AFFINE), cases[1]["ct"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "unwritable").write_text("a file where the folder should be")
    writer = CaseWriter(tmp_path / "out", cases, ("mask",), progress=False)
    with pytest.raises(RuntimeError, match="3 of 4 case.*blank: RuntimeError: network found no tissue"):
        evaluate(cases, writer)
    assert (tmp_path / "out" / "good" / "pred.nii.gz").is_file()
    assert not (tmp_path / "out" / "blank").exists()
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [entry["case"] for entry in predictions["predictions"]] == ["good"]
    assert {entry["case"] for entry in predictions["failed"]} == {"broken", "blank", "unwritable"}
    assert str(tmp_path) not in (tmp_path / "out" / "predictions.json").read_text()
    assert "/data/Doe_Jane" not in (tmp_path / "out" / "predictions.json").read_text()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda pred: pred[:, 1:], "has shape"),
        (lambda pred: MetaTensor(pred.as_tensor(), affine=pred.affine + 0.5), "has the affine"),
        (lambda pred: pred.as_tensor(), "without geometry"),
        (lambda pred: pred * 0.3, "threshold it"),
    ],
)
def test_other_grids_and_values_are_refused(tmp_path, change, message):
    case = make_case(tmp_path, "P1")
    writer = CaseWriter(tmp_path / "out", [case], ("mask",), progress=False)
    pred = MetaTensor(torch.ones(1, *SHAPE), affine=torch.as_tensor(nib.load(case["ct"]).affine))
    with pytest.raises((ValueError, TypeError), match=message):
        writer.write("P1", {"pred": change(pred)})
    assert not (tmp_path / "out" / "P1" / "pred.nii.gz").exists()
    writer.write("P1", {"pred": pred})
    assert (tmp_path / "out" / "P1" / "pred.nii.gz").exists()


def test_unknown_output_is_named(tmp_path):
    with pytest.raises(ValueError, match="names dose; possible are mask, overlay"):
        CaseWriter(tmp_path, [], ("mask", "dose"))


def test_measures_of_a_known_mask():
    affine = np.array([[0, 0, -2.0, 0], [4.0, 0, 0, 0], [0, 5.0, 0, 100], [0, 0, 0, 1]])  # axis 1 runs to the head
    mask = np.zeros((10, 10, 10), np.uint8)
    mask[2:4, 3:6, 1:3] = 1  # 12 voxels of 0.04 ml, z from 115 to 125 mm
    mask[9, 9, 9] = 1
    pet = np.arange(1000.0).reshape(10, 10, 10)
    assert measure(mask, pet, affine) == {
        "volume_ml": 0.52, "components": 2, "slices": 4, "inferior_mm": 115.0, "superior_mm": 145.0, "suv_max": 999.0,
        "suv_mean": round(float(pet[mask > 0].mean()), 3),
    }  # fmt: skip
    assert measure(mask * 0, pet, affine)["suv_max"] is None


def test_pet_is_resampled_in_space(tmp_path):
    """A PET that is a linear function of the position in mm keeps that function on the CT's grid."""
    gradient = np.array([0.02, -0.01, 0.03])
    pet_affine = np.diag([4.0, 4.0, 4.0, 1]) + np.array([[0, 0, 0, -40], [0, 0, 0, -40], [0, 0, 0, -520], [0] * 4])
    where = np.indices((25, 30, 30)).reshape(3, -1).T @ pet_affine[:3, :3].T + pet_affine[:3, 3]
    nib.save(
        nib.Nifti1Image((where @ gradient + 30).reshape(25, 30, 30).astype(np.float32), pet_affine), tmp_path / "p.nii"
    )
    ct = nib.Nifti1Image(np.zeros(SHAPE, np.int16), AFFINE)
    result = pet_on_ct_grid(tmp_path / "p.nii", ct)
    where = np.indices(SHAPE).reshape(3, -1).T @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    inside = result != 0
    assert inside.mean() > 0.5
    np.testing.assert_allclose(result[inside], (where @ gradient + 30).reshape(SHAPE)[inside], atol=1e-3)


def test_rounding_of_a_grid_is_passed_over_and_steps_that_add_up_are_not(tmp_path):
    shape, affine = (512, 4, 4), np.diag([1.0, 1.0, 2.0, 1.0])
    ct = nib.Nifti1Image(np.zeros(shape, np.int16), affine)
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    shifted, wider = affine.copy(), affine.copy()
    shifted[0, 3] += 0.02
    wider[0, 0] += 0.0009  # 0.46 mm at the far end
    on_ct_grid(MetaTensor(values[None], affine=shifted), ct, "P1", "pred")
    with pytest.raises(ValueError, match="has the affine"):
        on_ct_grid(MetaTensor(values[None], affine=wider), ct, "P1", "pred")
    for other, same in ((shifted, True), (wider, False)):
        nib.save(nib.Nifti1Image(values, other), tmp_path / "pet.nii")
        assert np.array_equal(pet_on_ct_grid(tmp_path / "pet.nii", ct), values) == same


def test_reason_is_the_first_cause_in_one_line():
    error = RuntimeError("applying transform")
    error.__cause__ = ValueError("PET is\nnot SUV")
    assert failure_text(error) == "ValueError: PET is not SUV"


def test_reason_names_files_without_their_folders():
    error = ValueError("'/data/Doe_Jane/ct.nii.gz' has 1/3 of g/ml, /home/Doe Jane/pet.nii.gz too")
    text = failure_text(error, ["/home/Doe Jane/pet.nii.gz"])
    assert text == "ValueError: 'ct.nii.gz' has 1/3 of g/ml, pet.nii.gz too"


def test_one_output_is_taken_as_a_word(tmp_path):
    assert CaseWriter(tmp_path, [], outputs="probability").outputs == ("probability",)
    with pytest.raises(ValueError, match="outputs names probabilities; possible are mask, overlay"):
        CaseWriter(tmp_path, [], outputs="probabilities")
