"""Independent programs, unpacked real studies, and RTSTRUCTs made by hand."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
FRAME = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture(scope="session")
def program(require):
    """program("plastimatch") -> its path; skips where it is missing, fails then with CI=true."""
    return lambda name: require(name, shutil.which(name))


@pytest.fixture(scope="session")
def unpacked(shared_dir, tmp_path_factory):
    """unpacked("rtstruct/4DLung_113.tar.xz") -> folder with the archive's content; each archive unpacked once."""
    folders: dict[str, Path] = {}

    def unpack(archive: str) -> Path:
        if archive not in folders:
            folder = tmp_path_factory.mktemp("unpacked")
            with tarfile.open(shared_dir / "data" / archive) as file:
                file.extractall(folder, filter="data")
            folders[archive] = folder
        return folders[archive]

    return unpack


@pytest.fixture(scope="session")
def plastimatch_masks(program, tmp_path_factory):
    """plastimatch_masks(rtstruct, folder of the CT or image with its grid) -> {ROI name: mask} by plastimatch."""

    def convert(rtstruct: Path, ct: Path | sitk.Image) -> dict[str, sitk.Image]:
        folder = tmp_path_factory.mktemp("plastimatch")
        command = [program("plastimatch"), "convert", "--input", str(rtstruct)]
        if isinstance(ct, sitk.Image):
            sitk.WriteImage(ct, str(folder / "grid.nrrd"))
            command += ["--fixed", str(folder / "grid.nrrd")]
        else:
            command += ["--referenced-ct", str(ct)]
        command += ["--output-prefix", str(folder / "masks"), "--prefix-format", "nrrd"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return {path.stem: sitk.ReadImage(path) for path in sorted((folder / "masks").iterdir())}

    return convert


@pytest.fixture(scope="session")
def gdcm_volume():
    """gdcm_volume(folder) -> the series of a folder as SimpleITK reads it by itself."""

    def read(folder: Path) -> sitk.Image:
        return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))

    return read


def dice(first: sitk.Image | np.ndarray, second: sitk.Image | np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|)."""
    a, b = ((sitk.GetArrayFromImage(m) if isinstance(m, sitk.Image) else m) > 0 for m in (first, second))
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


@pytest.fixture(scope="session", name="dice")
def _dice():
    return dice


def make_rtstruct(rois: dict[str, list], frames: dict[str, str] | None = None) -> pydicom.Dataset:
    """An RTSTRUCT data set.

    Args:
        rois: name -> contours, each (N, 3) mm or (points, type) or (points, type, extra attributes).
        frames: name -> frame of reference, `FRAME` where not given.
    """
    frames = frames or {}
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTSTRUCT_CLASS, generate_uid()
    dataset.Modality, dataset.PatientID, dataset.PatientName = "RTSTRUCT", "P1", "Doe^Jane"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.StructureSetLabel = "TEST"
    dataset.ReferencedFrameOfReferenceSequence = []
    for uid in dict.fromkeys([frames.get(name, FRAME) for name in rois]):
        item = pydicom.Dataset()
        item.FrameOfReferenceUID = uid
        dataset.ReferencedFrameOfReferenceSequence.append(item)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi = pydicom.Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = frames.get(name, FRAME)
        dataset.StructureSetROISequence.append(roi)
        item = pydicom.Dataset()
        item.ReferencedROINumber = number
        item.ContourSequence = [_contour(contour) for contour in contours]
        dataset.ROIContourSequence.append(item)
    return dataset


def _contour(contour) -> pydicom.Dataset:
    points, kind, extra = (*contour, {})[:3] if isinstance(contour, tuple) else (contour, "CLOSED_PLANAR", {})
    points = np.asarray(points, float)
    item = pydicom.Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{x:.4f}" for x in points.ravel()]
    for keyword, value in extra.items():
        setattr(item, keyword, value)
    return item


def save_dataset(dataset: pydicom.Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set as a DICOM file with its meta header, little endian."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    dataset.is_little_endian, dataset.is_implicit_VR = True, syntax == ImplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, write_like_original=False)
    return path


@pytest.fixture
def rtstruct_file(tmp_path):
    """rtstruct_file({"IGTV": [points, ...]}, frames=None) -> path of a new RTSTRUCT."""

    def write(rois, frames=None, change=None) -> Path:
        dataset = make_rtstruct(rois, frames)
        if change is not None:
            change(dataset)
        return save_dataset(dataset, tmp_path / f"rs_{len(list(tmp_path.iterdir()))}.dcm")

    return write
