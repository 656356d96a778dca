"""Files sorted into series, whatever lies around them."""

import itertools
import pickle
import shutil
import threading
import warnings

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom.errors import DicomError
from igtv.dicom.headers import read_header
from igtv.dicom.series import find_series, load_series
from igtv.dicom.volume import read_volume
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, generate_uid


def test_patients_and_modalities_mixed_in_one_folder(tmp_path, series_datasets, write_series):
    """Two patients with CT and PET each, files of all four with meaningless names in two folders."""
    datasets = []
    for patient in ("A", "B"):
        for modality in ("CT", "PT"):
            datasets += series_datasets(
                modality, PatientID=patient, StudyInstanceUID=f"1.{ord(patient)}",
                SeriesDescription=f"{modality} of {patient}",
            )  # fmt: skip
    order = np.random.default_rng(0).permutation(len(datasets))
    names = [f"{'deep/er/' if number % 2 else ''}{number:04d}" for number in order]
    write_series(tmp_path, datasets, names=names)
    found, problems = find_series(tmp_path)
    assert not problems
    assert [(one.patient_id, one.modality, len(one.files)) for one in found] == [
        ("A", "CT", 6), ("A", "PT", 6), ("B", "CT", 6), ("B", "PT", 6),
    ]  # fmt: skip
    for one in found:
        assert one.description == f"{one.modality} of {one.patient_id}"
        for path, header in zip(one.files, one.headers, strict=True):
            assert pydicom.dcmread(path).SOPInstanceUID == header.SOPInstanceUID


def test_what_is_no_dicom_is_passed_over(tmp_path, series_datasets, write_series, expected_hu):
    write_series(tmp_path, series_datasets())
    (tmp_path / "notes.txt").write_text("a report")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + bytes(300))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "table.csv").write_bytes(b"")
    (tmp_path / "zeros").write_bytes(bytes(5000))
    (tmp_path / ".DS_Store").write_bytes(bytes(10))
    directory = Dataset()
    directory.SOPClassUID, directory.SOPInstanceUID = "1.2.840.10008.1.3.10", generate_uid()
    directory.DirectoryRecordSequence = []
    write_series(tmp_path, [directory], names=["DICOMDIR"])
    found, problems = find_series(tmp_path)
    assert (len(found), problems) == (1, [])
    assert np.array_equal(sitk.GetArrayFromImage(read_volume(tmp_path)[0]), expected_hu)


def test_files_without_preamble_or_meta_header(tmp_path, series_datasets, expected_hu):
    for index, dataset in enumerate(series_datasets()):
        dataset.is_little_endian, dataset.is_implicit_VR = True, True
        dataset.save_as(tmp_path / f"{index}", write_like_original=True)
    assert (tmp_path / "0").read_bytes()[128:132] != b"DICM"
    image, _ = read_volume(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(image), expected_hu)


def test_big_endian_files_are_read(tmp_path, series_datasets, expected_hu):
    for index, dataset in enumerate(series_datasets()):
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.is_little_endian, dataset.is_implicit_VR = False, False
        dataset.save_as(tmp_path / f"{index}", write_like_original=False)
    image, _ = read_volume(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(image), expected_hu)


def test_scout_in_the_series_is_apart(tmp_path, series_datasets, write_series):
    datasets = series_datasets()
    scout = series_datasets(axes=((1, 0, 0), (0, 0, -1)))[0]
    scout.SeriesInstanceUID, scout.StudyInstanceUID = datasets[0].SeriesInstanceUID, datasets[0].StudyInstanceUID
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_series(tmp_path, [*datasets, scout])
    found, _ = find_series(tmp_path)
    assert sorted((len(one.files), "localizer" in one.part) for one in found) == [(1, True), (6, False)]
    with pytest.raises(DicomError, match="2 image series"):
        load_series(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("TemporalPositionIdentifier", (1, 2, 3)),
        ("NominalPercentageOfRespiratoryPhase", (0.0, 50.0)),
        ("AcquisitionNumber", (4, 5)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL", "AVERAGE"])),
        ("FrameReferenceTime", ("1000", "61000")),
    ],
)
def test_volumes_that_share_a_series_are_told_apart(tmp_path, series_datasets, write_series, keyword, values):
    datasets = []
    for number, value in enumerate(values):
        datasets += series_datasets(**{keyword: value}, SeriesInstanceUID="1.2.3", StudyInstanceUID="1.2",
                                    FrameOfReferenceUID="1.4", RescaleIntercept=str(-1024 + number))  # fmt: skip
    write_series(tmp_path, datasets)
    found, problems = find_series(tmp_path)
    assert not problems
    assert [len(one.files) for one in found] == [6] * len(values)
    assert len({one.part for one in found}) == len(values)
    assert all(one.part.startswith(keyword) for one in found)
    for one in found:
        assert len({header.RescaleIntercept for header in one.headers}) == 1
        assert read_volume(one)[0].GetSize() == (7, 5, 6)


def test_acquisitions_that_follow_each_other_are_one_volume(tmp_path, series_datasets, write_series):
    """A helical CT in two acquisitions, a PET of several beds: numbers differ, places do not repeat."""
    datasets = series_datasets()
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionNumber, dataset.AcquisitionTime = 1 + index // 3, f"11000{index}"
    write_series(tmp_path, datasets)
    assert len(load_series(tmp_path).files) == 6


def test_copies_of_a_tree_are_no_second_volume(tmp_path, series_datasets, write_series, expected_hu):
    write_series(tmp_path / "a", series_datasets())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    image, decisions = read_volume(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(image), expected_hu)
    assert "6 copies of images left out" in decisions


def test_frame_of_reference_of_structure_sets(unpacked):
    found, _ = find_series(unpacked("rtstruct/4DLung_113.tar.xz"))
    assert [one.modality for one in found] == ["CT", "RTSTRUCT"]
    assert found[0].frame_of_reference_uid == found[1].frame_of_reference_uid != ""


def test_folders_without_dicom_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_series(tmp_path / "nowhere")
    with pytest.raises(DicomError, match="no DICOM at all"):
        load_series(tmp_path)


def test_labels_name_no_patient(tmp_path, series_datasets, write_series):
    write_series(tmp_path, series_datasets(SeriesDescription="Thorax"))
    series = load_series(tmp_path)
    assert "Doe" not in series.label and "P1" not in series.label
    assert '"Thorax"' in series.label
    assert "PatientName" not in series.headers[0]


@pytest.mark.parametrize("content", [b"", b"DICM", bytes(132), b"cut off"])
def test_dicom_by_its_name_only_is_a_problem(tmp_path, series_datasets, write_series, content):
    """Cut off before its first attribute, the last slice must not go missing silently."""
    write_series(tmp_path, series_datasets())
    (tmp_path / "005.dcm").write_bytes(content)
    _, problems = find_series(tmp_path)
    assert [problem.file.name for problem in problems] == ["005.dcm"]
    with pytest.raises(DicomError, match=r"005\.dcm"):
        load_series(tmp_path)


def test_links_are_followed_once(tmp_path, series_datasets, write_series):
    write_series(tmp_path / "archive" / "a", series_datasets())
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "link").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "back").symlink_to(tmp_path / "archive")
    found, problems = find_series(tmp_path / "study")
    assert ([len(one.files) for one in found], problems) == ([6], [])


def test_series_travel_between_processes(tmp_path, series_datasets, write_series, expected_hu):
    write_series(tmp_path, series_datasets())
    series = pickle.loads(pickle.dumps(load_series(tmp_path)))
    assert np.array_equal(sitk.GetArrayFromImage(read_volume(series)[0]), expected_hu)


def test_reading_leaves_the_filters_of_warnings_as_they_were(tmp_path, monkeypatch):
    """Threads that read at the same time do not set each other's filters back."""
    entered, first_done = threading.Event(), threading.Event()
    numbers = itertools.count()

    def parse(*_, **__):
        first = next(numbers) == 0
        if not first:
            entered.set()
        (entered if first else first_done).wait(10)
        raise ValueError("damaged")

    def read(path):
        result = read_header(path)
        first_done.set()
        return result

    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM")
    monkeypatch.setattr(pydicom, "dcmread", parse)
    monkeypatch.setattr("igtv.dicom.series.read_header", read)
    before = list(warnings.filters)
    assert len(find_series(tmp_path)[1]) == 2
    assert warnings.filters == before
