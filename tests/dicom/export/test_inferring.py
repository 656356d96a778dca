"""The verb `inferring` from a DICOM folder to RTSTRUCT and SEG; a network that takes all uptake stands in."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.dicom.rtstruct_reader import read_contours
from igtv.dicom.seg_reader import read_segmentation
from monai.bundle import run
from pydicom.uid import PositronEmissionTomographyImageStorage, generate_uid

UPTAKE = "$type('Uptake', (torch.nn.Module,), {'forward': lambda self, x: (x[:, 1:] + 0.9) * 50})()"
NOTHING = "$type('Nothing', (torch.nn.Module,), {'forward': lambda self, x: x[:, 1:] * 0 - 9})()"


@pytest.fixture(scope="module")
def dicom_dir(tmp_path_factory, write_ct):
    """Tissue with SUV 8 and more in one half of the volume, air with SUV 0 in the other."""
    folder = tmp_path_factory.mktemp("archive")
    shared = {word: generate_uid(prefix=None) for word in ("StudyInstanceUID", "FrameOfReferenceUID")}
    write_ct(folder / "ct", **shared)
    pet = {"Modality": "PT", "SOPClassUID": PositronEmissionTomographyImageStorage, "Units": "GML"}
    pet |= {"CorrectedImage": ["ATTN", "DECY"], "RescaleSlope": 0.01, "RescaleIntercept": 8, "PatientWeight": 70}
    write_ct(folder / "pt", **shared, **pet)
    return folder


def infer(bundle_dir, dicom_dir, output_dir, network, **settings):
    run(
        "inferring",
        config_file=str(bundle_dir / "configs" / "inference.json"),
        bundle_root=str(bundle_dir),
        dicom_dir=str(dicom_dir),
        output_dir=str(output_dir),
        network=network,
        inferer="$monai.inferers.SimpleInferer()",
        device="cpu",
        spacing_mm=[1.25, 1.25, 2.5],
        logging_file=False,
        **settings,
    )


def test_from_dicom_to_dicom(bundle_dir, dicom_dir, tmp_path):
    infer(bundle_dir, dicom_dir, tmp_path, UPTAKE, export=["nifti", "rtstruct", "dicomseg"], roi_name="IGTV_AI")
    pred = sitk.ReadImage(str(tmp_path / "T1" / "pred.nii.gz"))
    mask = sitk.GetArrayFromImage(pred)
    assert 0.4 < mask.mean() < 0.6
    rtstruct, segmentation = tmp_path / "T1" / "rtstruct.dcm", tmp_path / "T1" / "seg.dcm"
    for read in (read_contours(rtstruct, pred), read_segmentation(segmentation, pred)):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read["IGTV_AI"]), mask)
    (row,) = json.loads((tmp_path / "predictions.json").read_text())["predictions"]
    assert row["exported"] == ["rtstruct.dcm", "seg.dcm"]


def test_nothing_found_is_a_mask_without_dicom(bundle_dir, dicom_dir, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        infer(bundle_dir, dicom_dir, tmp_path, NOTHING, export=["rtstruct"])
    assert "mask written, but not as DICOM" in str(caught.value.__cause__ or caught.value)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "T1" / "pred.nii.gz"))).max() == 0
    assert not (tmp_path / "T1" / "rtstruct.dcm").exists()
