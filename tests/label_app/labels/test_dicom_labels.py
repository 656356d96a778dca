"""Which DICOM objects count as labels, by their headers."""

import re

import pytest
from lib.labels.dicom_labels import look_at
from lib.labels.errors import LabelRefused
from lib.labels.stow import split_multipart
from pydicom.dataset import Dataset, FileMetaDataset

NAMES = ("igtv",)


def seg(*segments: tuple[str, str]) -> Dataset:
    header, series = Dataset(), Dataset()
    header.Modality, header.Manufacturer, series.SeriesInstanceUID = "SEG", "somebody", "1.2.3"
    header.ReferencedSeriesSequence = [series]
    header.SegmentSequence = []
    for name, algorithm in segments:
        item = Dataset()
        item.SegmentLabel, item.SegmentAlgorithmType = name, algorithm
        header.SegmentSequence.append(item)
    return header


def rtstruct(*rois: tuple[str, str | None]) -> Dataset:
    header, frame, study, series = Dataset(), Dataset(), Dataset(), Dataset()
    header.Modality, series.SeriesInstanceUID = "RTSTRUCT", "1.2.3"
    study.RTReferencedSeriesSequence, frame.RTReferencedStudySequence = [series], [study]
    header.ReferencedFrameOfReferenceSequence = [frame]
    header.StructureSetROISequence = []
    for name, algorithm in rois:
        item = Dataset()
        item.ROIName, item.ROIGenerationAlgorithm = name, algorithm
        header.StructureSetROISequence.append(item)
    return header


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (seg(("IGTV", "MANUAL")), "IGTV"),
        (seg(("heart", "AUTOMATIC"), ("igtv", "SEMIAUTOMATIC")), "igtv"),
        (rtstruct(("Lungs", "AUTOMATIC"), ("IGTV ", "")), "IGTV "),
        (rtstruct(("IGTV", None)), "IGTV"),
    ],
)
def test_what_a_person_drew_counts(header, name):
    found = look_at(header, NAMES)
    assert (found.name, found.reason, found.series_uids) == (name, "", ("1.2.3",))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (seg(("IGTV", "AUTOMATIC")), "drawn by a network"),
        (rtstruct(("IGTV", "AUTOMATIC")), "drawn by a network"),
        (rtstruct(("GTV", "MANUAL")), "nothing in it is called igtv .there are: GTV"),
        (seg(("igtv", "MANUAL"), ("IGTV", "AUTOMATIC")), "several parts"),
        (Dataset(), "no SEG and no RTSTRUCT, but without modality"),
    ],
)
def test_everything_else_does_not(header, words):
    found = look_at(header, NAMES)
    assert not found.name and re.search(words, found.reason)


def test_what_a_person_submits_counts_though_the_viewer_calls_it_automatic():
    assert look_at(seg(("IGTV", "AUTOMATIC")), NAMES, automatic_counts=True).name == "IGTV"


def by_ohif(header: Dataset) -> Dataset:
    """As OHIF 3 exports it."""
    header.Manufacturer = header.ManufacturerModelName = "Unspecified"
    header.DeviceSerialNumber, header.SoftwareVersions = "1", "0"
    return header


@pytest.mark.parametrize("automatic_counts", [False, True])
def test_ohifs_own_export_is_refused(automatic_counts):
    """Its slices may be in reverse order, and nothing in it tells whether they are."""
    drawn = seg(("IGTV", "MANUAL"))
    assert look_at(drawn, NAMES, automatic_counts).name
    drawn.file_meta = FileMetaDataset()
    drawn.file_meta.ImplementationVersionName = "OHIF-VIEWER-2.0.0"
    for exported in (drawn, by_ohif(seg(("IGTV", "MANUAL")))):  # from a PACS it comes without the file's own header
        found = look_at(exported, NAMES, automatic_counts)
        assert not found.name and "reverse order" in found.reason
    contours = by_ohif(rtstruct(("IGTV", "MANUAL")))
    assert look_at(contours, NAMES).name == "IGTV"  # contours carry the place of each slice themselves


def test_multipart_keeps_every_byte():
    parts = [bytes(range(256)) + b"\r\n--xy", b"\r\n\r\n--\r\n"]
    body = b"".join(b"--xyz\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts) + b"--xyz--"
    assert split_multipart('multipart/related; boundary="xyz"', body) == parts
    assert split_multipart("multipart/related; boundary=xyz", b"preamble\r\n" + body + b"\r\n") == parts
    for kind, broken, words in (
        ("multipart/form-data; boundary=xyz", body, "multipart/related"),
        ("multipart/related", body, "boundary"),
        ("multipart/related; boundary=xyz", body[:-2], "cut off"),
        ("multipart/related; boundary=xyz", body.replace(b"application/dicom", b"text/html"), "text/html"),
        ("multipart/related; boundary=xyz", b"--xyz\r\nno header end\r\n--xyz--", "no end of its header"),
    ):
        with pytest.raises(LabelRefused, match=words):
            split_multipart(kind, broken)
