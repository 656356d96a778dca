"""Names, numbers and algorithms of the contours in a header."""

import pytest
from igtv.dicom.contour_parts import ContourPart, contour_parts
from pydicom.dataset import Dataset


def header(modality, sequence, items):
    made = Dataset()
    made.Modality = modality
    parts = []
    for values in items:
        part = Dataset()
        for keyword, value in values.items():
            setattr(part, keyword, value)
        parts.append(part)
    setattr(made, sequence, parts)
    return made


def test_rois_of_an_rtstruct():
    rois = [{"ROIName": "IGTV ", "ROINumber": 3, "ROIGenerationAlgorithm": "Automatic"}, {"ROIName": "GTV"}]
    found = contour_parts(header("RTSTRUCT", "StructureSetROISequence", rois))
    assert [part.name.strip() for part in found] == ["IGTV", "GTV"]
    assert [(part.number, part.algorithm) for part in found] == [("3", "AUTOMATIC"), ("None", "")]


def test_segments_of_a_seg():
    segments = [{"SegmentLabel": "IGTV_AI", "SegmentNumber": 1, "SegmentAlgorithmType": "SEMIAUTOMATIC"}]
    found = contour_parts(header("SEG", "SegmentSequence", segments))
    assert found == [ContourPart("IGTV_AI", "1", "SEMIAUTOMATIC")]


@pytest.mark.parametrize("modality", ["CT", "", "SEG"])
def test_an_object_without_them_has_none(modality):
    made = Dataset()
    made.Modality = modality
    assert contour_parts(made) == [] and contour_parts(Dataset()) == []
