"""A CT in DICOM of any direction, masks to write on it, and the independent readers."""

import re
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom.reference_series import read_reference
from igtv.dicom.series import load_series
from pydicom.uid import CTImageStorage, generate_uid

from ..conftest import save_dataset

SIZE = (40, 36, 9)  # columns, rows, slices
SPACING_MM = (1.25, 1.25, 2.5)
ORIENTATIONS = {
    "identity": (1, 0, 0, 0, 1, 0),
    "flipped in x and y": (-1, 0, 0, 0, -1, 0),  # prone
    "flipped in y, slices towards the feet": (1, 0, 0, 0, -1, 0),
    "turned in plane": (0, 1, 0, -1, 0, 0),
    "oblique": (0.8, 0.36, -0.48, 0, 0.8, 0.6),
    "coronal": (1, 0, 0, 0, 0, -1),
}
AXIAL = [name for name in ORIENTATIONS if name not in ("oblique", "coronal")]


@pytest.fixture(scope="session")
def write_ct():
    return _write_ct


def _write_ct(folder, orientation=ORIENTATIONS["identity"], size=SIZE, spacing_mm=SPACING_MM, **attributes):
    """A CT whose files are named and numbered against their order; tissue where x is large, else air."""
    folder.mkdir(parents=True)
    axes = np.array([orientation[:3], orientation[3:], np.cross(orientation[:3], orientation[3:])], float)
    uids = {
        word: generate_uid(prefix=None) for word in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    }
    columns, rows, slices = size
    for number in range(slices):
        dataset = pydicom.Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid(prefix=None)
        for word, value in uids.items():
            setattr(dataset, word, value)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.Modality, dataset.PatientName, dataset.PatientID = "CT", "Test^Case", "T1"
        dataset.PatientBirthDate = dataset.PatientSex = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200101", "101010", "1"
        dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = "2", "1", str(slices - number)
        dataset.Manufacturer, dataset.PositionReferenceIndicator, dataset.PatientPosition = "test", "", "HFS"
        dataset.SeriesDescription, dataset.KVP, dataset.Laterality = "CT", "120", ""
        dataset.ImageOrientationPatient = [float(value) for value in orientation]
        position = np.array([-11.5, 20.25, -300.7]) + axes[2] * number * spacing_mm[2]
        dataset.ImagePositionPatient = [round(float(value), 6) for value in position]
        dataset.PixelSpacing = [spacing_mm[1], spacing_mm[0]]
        dataset.SliceThickness = spacing_mm[2]
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        for word, value in attributes.items():
            setattr(dataset, word, value)
        voxels = np.full((rows, columns), -800, np.int16)
        voxels[:, columns // 2 :] = 40 + number
        dataset.PixelData = voxels.tobytes()
        save_dataset(dataset, folder / f"{dataset.SOPInstanceUID}.bin")
    return folder


@pytest.fixture(scope="session")
def references(tmp_path_factory):
    """Orientation's name -> series with its grid."""
    folder = tmp_path_factory.mktemp("ct")
    return {
        name: read_reference(load_series(_write_ct(folder / name, orientation)))
        for name, orientation in ORIENTATIONS.items()
    }


@pytest.fixture(scope="session")
def awkward_voxels():
    """(z, y, x): a body with two holes from the first slice to the last but one, a single voxel in the last slice, a
    line one voxel thin, and a corner of the volume."""
    z, y, x = np.indices(SIZE[::-1])
    inside = (x - 18) ** 2 / 144 + (y - 17) ** 2 / 121 <= 1 - (z - 3) ** 2 / 60
    inside &= z < SIZE[2] - 1
    inside &= (x - 13) ** 2 + (y - 17) ** 2 > 9
    inside &= ~((z == 4) & (x == 24) & (y == 17))  # a hole of one voxel
    inside[-1, 20, 21] = True
    inside[2, 33, 3:20] = True
    inside[5, 35, 39] = True
    return inside


def on_grid(voxels, reference):
    image = sitk.GetImageFromArray(voxels.astype(np.uint8))
    image.CopyInformation(reference.grid)
    return image


@pytest.fixture(scope="session")
def as_mask():
    return on_grid


@pytest.fixture(scope="session")
def new_errors(program):
    """What dciodvfy reports of an object as an error and not of an image of its source series."""
    program("dciodvfy")

    def compare(path, reference):
        return _dciodvfy_errors(path) - _dciodvfy_errors(reference.series.files[0])

    return compare


def _dciodvfy_errors(path):
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60)
    lines = (done.stdout + done.stderr).splitlines()
    # the module that an attribute of the study is found in has another name in another object
    return {re.sub(r" Module=<\w+>", "", line) for line in lines if line.startswith("Error")}


@pytest.fixture(scope="session")
def contours_filled():
    """RTSTRUCT -> {ROI name: boolean array (z, y, x)} on the grid of a series: shapely in SimpleITK's geometry."""
    from shapely import Polygon, contains_xy

    def fill(path, reference):
        dataset = pydicom.dcmread(path)
        names = {roi.ROINumber: roi.ROIName for roi in dataset.StructureSetROISequence}
        columns, rows, slices = reference.grid.GetSize()
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        read = {}
        for roi in dataset.ROIContourSequence:
            voxels = np.zeros((slices, rows, columns), bool)
            for contour in roi.ContourSequence:
                points = np.reshape([float(value) for value in contour.ContourData], (-1, 3))
                index = np.array([reference.grid.TransformPhysicalPointToContinuousIndex(p.tolist()) for p in points])
                level = round(index[0, 2])
                assert np.abs(index[:, 2] - level).max() < 1e-4  # in the plane of a slice
                voxels[level] ^= contains_xy(Polygon(index[:, :2]).buffer(0), x, y)
            read[names[roi.ReferencedROINumber]] = voxels
        return read

    return fill
