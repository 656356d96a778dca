"""Small DICOM exports: volumes written as series, structure sets, registrations."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom.import_dataset import import_dataset
from pydicom.uid import generate_uid

from ..conftest import make_rtstruct, save_dataset

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"
REG_CLASS = "1.2.840.10008.5.1.4.1.1.66.1"
PET_TAGS = {
    "Units": "GML",
    "CorrectedImage": ["DECY", "ATTN"],
    "DecayCorrection": "START",
    "PatientWeight": "70",
    "SeriesType": ["STATIC", "IMAGE"],
}


def base(sop_class: str, modality: str, patient: str, study: str, series: str) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.Modality, dataset.PatientID, dataset.PatientName = modality, patient, "Doe^Jane"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.StudyDate = "20200101"
    return dataset


def write_series(folder, image, modality="CT", patient="P1", study="1.2.3", frame="1.2.3.4", description="", **tags):
    """Write an image (HU or SUV, sitk) as one file per slice, in an order that means nothing; return the series UID."""
    uid = generate_uid()
    values = sitk.GetArrayFromImage(image)
    slope = 1.0 if modality == "CT" else max(float(values.max()), 1e-3) / 30000
    direction = np.array(image.GetDirection()).reshape(3, 3)
    for index in np.random.default_rng(0).permutation(len(values)):
        dataset = base(CT_CLASS if modality == "CT" else PET_CLASS, modality, patient, study, uid)
        dataset.FrameOfReferenceUID, dataset.SeriesDescription = frame, description
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        for keyword, value in {**(PET_TAGS if modality == "PT" else {}), **tags}.items():
            setattr(dataset, keyword, value)
        dataset.ImagePositionPatient = [f"{x:.5f}" for x in image.TransformIndexToPhysicalPoint((0, 0, int(index)))]
        dataset.ImageOrientationPatient = [f"{x:.8f}" for x in (*direction[:, 0], *direction[:, 1])]
        dataset.PixelSpacing = [f"{image.GetSpacing()[1]:.6f}", f"{image.GetSpacing()[0]:.6f}"]
        dataset.SliceThickness = f"{image.GetSpacing()[2]:.4f}"
        dataset.Rows, dataset.Columns = values.shape[1:]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{slope:.8g}", "0"
        dataset.PixelData = np.round(values[index] / float(f"{slope:.8g}")).astype("<i2").tobytes()
        save_dataset(dataset, Path(folder) / f"{uid[-6:]}_{index}")
    return uid


def box_contours(image: sitk.Image, low, high) -> list[np.ndarray]:
    """One rectangle per slice around the voxels low..high-1 (x, y, z), its edges half-way between voxels."""
    contours = []
    for z in range(low[2], high[2]):
        corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        points = [image.TransformContinuousIndexToPhysicalPoint((x - 0.5, y - 0.5, float(z))) for x, y in corners]
        contours.append(np.array(points))
    return contours


def write_rtstruct(path, rois, patient="P1", study="1.2.3", frame="1.2.3.4", refers_to=(), description="structures"):
    """Write an RTSTRUCT: rois: name -> list of (N, 3) points."""
    dataset = make_rtstruct(rois, dict.fromkeys(rois, frame))
    dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesDescription = patient, study, description
    references = []
    for uid in refers_to:
        item = pydicom.Dataset()
        item.SeriesInstanceUID = uid
        references.append(item)
    study_item = pydicom.Dataset()
    study_item.RTReferencedSeriesSequence = references
    dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence = [study_item]
    return save_dataset(dataset, Path(path))


def write_reg(path, frame, other_frame, matrix, patient="P1", study="1.2.3", kind="RIGID", description=""):
    """Write a REG whose own frame is `frame`; `matrix` (4x4) takes points of `other_frame` to it."""
    dataset = base(REG_CLASS, "REG", patient, study, generate_uid())
    dataset.FrameOfReferenceUID, dataset.SeriesDescription = frame, description
    dataset.RegistrationSequence = []
    for uid, values in ((frame, np.eye(4)), (other_frame, matrix)):
        item, step, one = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        one.FrameOfReferenceTransformationMatrixType = kind
        one.FrameOfReferenceTransformationMatrix = [f"{x:.10g}" for x in np.asarray(values).ravel()]
        step.MatrixSequence = [one]
        item.FrameOfReferenceUID, item.MatrixRegistrationSequence = uid, [step]
        dataset.RegistrationSequence.append(item)
    return save_dataset(dataset, Path(path))


def body_image(seed=0, size=(24, 22, 12), spacing=(4.0, 4.0, 5.0), origin=(-50.0, -40.0, 100.0)):
    """A CT in HU with a body of water in air and some noise."""
    random = np.random.default_rng(seed)
    values = np.full(size[::-1], -1000.0)
    values[:, 4:-4, 4:-4] = 0.0
    values += random.uniform(-30, 30, values.shape)
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


def pet_image(ct: sitk.Image, hot=(12, 11, 6)) -> sitk.Image:
    """A PET in SUV on the CT's grid: 1 in the body, 9 around one voxel."""
    values = np.where(sitk.GetArrayFromImage(ct) > -500, 1.0, 0.1)
    x, y, z = hot
    values[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = 9.0
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.CopyInformation(ct)
    return image


def write_patient(folder, patient="P1", seed=0, label=True, frame=None, **ct_tags):
    """A PET/CT with an RTSTRUCT on the CT; returns the CT's image."""
    frame, study = frame or generate_uid(), generate_uid()
    ct = body_image(seed)
    where = {"patient": patient, "study": study, "frame": frame}
    uid = write_series(folder, ct, "CT", description="CT", **where, **ct_tags)
    write_series(folder, pet_image(ct), "PT", description="PET AC", **where)
    if label:
        rois = {"GTV": box_contours(ct, (11, 10, 5), (14, 13, 8)), "PTV": box_contours(ct, (9, 9, 4), (15, 15, 9))}
        write_rtstruct(Path(folder) / f"{patient}_rs", rois, refers_to=[uid], **where)
    return ct


@pytest.fixture(scope="session")
def real_studies(shared_dir, tmp_path_factory):
    """Two real PET/CTs with RTSTRUCTs, in one heap without suffixes."""
    folder = tmp_path_factory.mktemp("studies")
    for number, path in enumerate(sorted((shared_dir / "data" / "dicom").rglob("*.dcm"))):
        shutil.copyfile(path, folder / f"IM{number:05d}")
    return folder


@pytest.fixture(scope="session")
def four_d_dir(unpacked):
    return unpacked("ct4d/popi4d_dicom.tar.xz")


@pytest.fixture(scope="session")
def dicom():
    """The writers of this file."""
    return SimpleNamespace(
        series=write_series,
        rtstruct=write_rtstruct,
        reg=write_reg,
        patient=write_patient,
        box=box_contours,
        body=body_image,
        pet=pet_image,
    )


@pytest.fixture(scope="session")
def run_import():
    """Import in this process, without bars: `run_import(dicom_dir, dataset_dir, **options)` -> datalist as dict."""

    def run(dicom_dir, dataset_dir, num_workers=0, **options):
        path = import_dataset(dicom_dir, dataset_dir, num_workers=num_workers, progress=False, **options)
        return json.loads(path.read_text())

    return run


@pytest.fixture(scope="session")
def log_of():
    """`log_of(dataset_dir)` -> case -> its row in the log."""

    def read(dataset_dir):
        return {row["case"]: row for row in json.loads((dataset_dir / "import_log.json").read_text())["cases"]}

    return read
