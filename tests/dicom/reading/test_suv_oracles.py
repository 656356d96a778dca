"""SUV against references that others computed."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from igtv.dicom import read_suv, suv_factors
from igtv.dicom.errors import DicomError
from igtv.dicom.series import load_series

OBJECTS = ["0_0", "1_0", "2_0", "2_1", "2_4", "2_5", "3_0", "3_2", "3_4", "4_0", "4_1"]
# "per Bq/ml", from the real-world value map that lies beside the series
R01_005_FACTOR = 0.000177393
STS_001_FACTOR = 2.429029766e-4
STS_001_CROP = (59, 45, 0)  # x, y, z


@pytest.mark.parametrize("name", OBJECTS)
def test_digital_reference_objects(unpacked, name):
    folder = unpacked("suv_oracle/dro.tar.xz") / f"DRO_{name}"
    image, decisions = read_suv(folder / "PT")
    mask = sitk.GetArrayFromImage(sitk.ReadImage(next((folder / "mask").iterdir()))) > 0
    values = sitk.GetArrayFromImage(image)[mask]
    assert np.median(values) == pytest.approx(1.0, rel=0.01)
    assert values.max() == pytest.approx(4.0, rel=0.01)
    assert values.min() == pytest.approx(0.2, rel=0.06)
    assert any(line.startswith("Units") for line in decisions)


def test_whole_body_series_equals_published_suv(unpacked):
    folder = unpacked("suv_oracle/sts001_raw_pet.tar.xz") / "sts001_raw_pet"
    image, _ = read_suv(folder / "image")
    series = load_series(folder / "image")
    assert suv_factors(series.headers) == pytest.approx([STS_001_FACTOR] * 267, rel=1e-6)
    reference = nib.load(folder / "expected_suvbw_ibsi_crop.nii.gz")
    expected = np.asarray(reference.dataobj).T  # stored (x, y, z) -> (z, y, x)
    x, y, z = STS_001_CROP
    depth, rows, columns = expected.shape
    found = sitk.GetArrayFromImage(image)[z : z + depth, y : y + rows, x : x + columns]
    # the published values are stored in 32767 steps of each slice's maximum, cut off
    step = expected.max(axis=(1, 2), keepdims=True) / 32767
    assert np.max(np.abs(found - expected)) < 1e-3
    assert np.all(np.abs(found - expected) < 1.01 * step)


def test_lung_cancer_series_equals_its_value_map(unpacked):
    folder = unpacked("suv_oracle/radiogenomics_R01-005.tar.xz") / "R01-005" / "PETBODYCTAC-51399"
    series = load_series(folder)  # the value map beside the images is no image
    assert len(series.files) == 10
    assert suv_factors(series.headers) == pytest.approx([R01_005_FACTOR] * 10, rel=1e-5)


def test_uncorrected_series_is_refused(unpacked):
    folder = unpacked("suv_oracle/radiogenomics_R01-005.tar.xz") / "R01-005" / "PETBODYNOAC-27181"
    with pytest.raises(DicomError, match=r"Units \(0054,1001\) is PROPCNTS"):
        read_suv(folder)


@pytest.mark.parametrize("patient", ["STS_002", "STS_042"])
def test_suv_series_is_not_converted_again(shared_dir, patient):
    image, decisions = read_suv(shared_dir / "data" / "dicom" / patient / "PET" / "image")
    assert "values are SUVbw already" in decisions
    assert 0.5 < sitk.GetArrayFromImage(image).max() < 50
