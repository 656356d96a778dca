"""The last look: a date of the original in any text that is left is refused, wherever it was found."""

import pytest
from igtv.dicom.deidentification.identities import Identity
from igtv.dicom.deidentification.rules import deidentify_dataset
from igtv.dicom.errors import DicomError
from pydicom.dataset import Dataset

IDENTITY = Identity(b"secret", "P0001", -100)
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime")


def ct(**values):
    dataset = Dataset()
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "CT"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_birth_date_and_study_date_of_a_description_are_gone():
    original = ct(StudyDate="20200101", PatientBirthDate="19650312", StudyDescription="PET/CT 1/1/20 geb. 12.03.65")
    result = deidentify_dataset(original, IDENTITY)
    assert result.StudyDescription == "PET/CT" and result.StudyDate == "20190923" and result.PatientBirthDate == ""


@pytest.mark.parametrize("keyword", DATES)
@pytest.mark.parametrize("text", ["B30f 5.3.23", "B30f_20230305", "FDG 05 Mar 2023", "050323"])
def test_every_date_of_the_data_set_is_looked_for(keyword, text):
    with pytest.raises(DicomError, match=rf"ConvolutionKernel holds the day of {keyword}") as caught:
        deidentify_dataset(ct(**{keyword: "20230305"}, ConvolutionKernel=text), IDENTITY)
    assert "empty it by hand" in str(caught.value) and not set("23") & set(str(caught.value))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ScanOptions": ["HELIX", "20230305"]}, "ScanOptions"),
        ({"ManufacturerModelName": "Scanner 2023-03-05"}, "ManufacturerModelName"),
        ({"SoftwareVersions": ["VB20", "05/03/2023"]}, "SoftwareVersions"),
        ({"RadiopharmaceuticalInformationSequence": [item(Radiopharmaceutical="FDG 5.3.23")]}, "Radiopharmaceutical"),
    ],
)
def test_texts_of_every_kind_and_depth_are_looked_at(values, words):
    with pytest.raises(DicomError, match=f"{words} holds the day of StudyDate"):
        deidentify_dataset(ct(StudyDate="20230305", **values), IDENTITY)


def test_dates_within_items_that_go_count_too():
    steps = [item(ScheduledProcedureStepStartDate="20230305")]
    with pytest.raises(DicomError, match="the day of ScheduledProcedureStepStartDate"):
        deidentify_dataset(ct(RequestAttributesSequence=steps, ConvolutionKernel="B30f 5.3.23"), IDENTITY)


def test_numbers_of_codes_and_other_days_are_no_leak():
    code = item(CodeValue="121322", CodingSchemeDesignator="DCM", CodeMeaning="Source image")
    original = ct(StudyDate="20221213", ConvolutionKernel="B30f 12.12.22", SourceImageSequence=[
        item(PurposeOfReferenceCodeSequence=[code])])  # fmt: skip
    result = deidentify_dataset(original, IDENTITY)
    assert result.ConvolutionKernel == "B30f 12.12.22"
    assert result.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
