"""Small synthetic series whose every voxel is different, so that no wrong volume looks right."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

from ..conftest import save_dataset

SHAPE = (6, 5, 7)  # slices, rows, columns
SPACING = (1.5, 2.0, 3.0)  # x, y, z in mm
ORIGIN = (-10.0, 20.0, -30.0)


def stored_values() -> np.ndarray:
    """Stored values (z, y, x), all different, far from the extremes."""
    return (np.arange(np.prod(SHAPE)).reshape(SHAPE) * 3 + 100).astype(np.int16)


def pet_header(**changes) -> Dataset:
    """Header of a plain PET slice: F-18, 400 MBq at 10:00, scan at 11:00, 80 kg. `None` takes an attribute out.

    Attributes of the radiopharmaceutical item are meant where the item has them.
    """
    item = Dataset()
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = "400000000", "6586.2"
    item.RadiopharmaceuticalStartTime = "100000"
    header = Dataset()
    header.Modality, header.Manufacturer, header.Units = "PT", "Maker", "BQML"
    header.DecayCorrection = "START"
    header.CorrectedImage = ["NORM", "ATTN", "SCAT", "DECY"]
    header.SeriesDate = header.AcquisitionDate = "20240229"
    header.SeriesTime = header.AcquisitionTime = "110000"
    header.FrameReferenceTime, header.ActualFrameDuration = "60000", "120000"
    header.PatientWeight, header.PatientSize, header.PatientSex = "80", "1.80", "M"
    for keyword, value in changes.items():
        target = item if keyword.startswith("Radio") and keyword != "RadiopharmaceuticalInformationSequence" else header
        if value is None:
            if keyword in target:
                delattr(target, keyword)
        else:
            setattr(target, keyword, value)
    if changes.get("RadiopharmaceuticalInformationSequence", item) is not None:
        header.RadiopharmaceuticalInformationSequence = [item]
    return header


def series_datasets(modality="CT", axes=((1, 0, 0), (0, 1, 0)), values=None, **changes) -> list[Dataset]:
    """Slices of one series, pixels included, in the order of the normal.

    Args:
        axes: directions of columns and rows; the normal is their cross product.
        changes: attributes set on every slice.
    """
    values = stored_values() if values is None else values
    normal = np.cross(*axes)
    uids = {word: generate_uid() for word in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    datasets = []
    for index, pixels in enumerate(values):
        dataset = pet_header() if modality == "PT" else Dataset()
        dataset.SOPClassUID = PositronEmissionTomographyImageStorage if modality == "PT" else CTImageStorage
        dataset.SOPInstanceUID = generate_uid()
        dataset.PatientID, dataset.PatientName, dataset.Modality = "P1", "Doe^Jane", modality
        for word, value in uids.items():
            setattr(dataset, word, value)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.InstanceNumber = len(values) - index  # misleading on purpose
        position = np.array(ORIGIN) + index * SPACING[2] * normal
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
        dataset.ImageOrientationPatient = [f"{value:.8f}" for axis in axes for value in axis]
        dataset.PixelSpacing = [str(SPACING[1]), str(SPACING[0])]
        dataset.SliceThickness = str(SPACING[2])
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = "2", "-1024" if modality == "CT" else "0"
        dataset.add_new("PixelData", "OW", pixels.astype("<i2").tobytes())
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        datasets.append(dataset)
    return datasets


def write_series(folder: Path, datasets, syntax: str = ExplicitVRLittleEndian, names=None) -> Path:
    for index, dataset in enumerate(datasets):
        save_dataset(dataset, folder / (names[index] if names else f"{index:03d}.dcm"), syntax)
    return folder


@pytest.fixture(name="pet_header", scope="session")
def _pet_header():
    return pet_header


@pytest.fixture(name="series_datasets", scope="session")
def _series_datasets():
    return series_datasets


@pytest.fixture(name="write_series", scope="session")
def _write_series():
    return write_series


@pytest.fixture(name="expected_hu", scope="session")
def _expected_hu():
    """CT values (z, y, x) of `series_datasets`."""
    return stored_values().astype(np.float32) * 2 - 1024


@pytest.fixture(scope="session")
def spacing_mm():
    return SPACING


@pytest.fixture(scope="session")
def origin_mm():
    return ORIGIN


@pytest.fixture(scope="session")
def edit_file():
    """edit_file(path, change): change(dataset) applied to a file in place."""

    def edit(path: Path, change) -> None:
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)

    return edit
