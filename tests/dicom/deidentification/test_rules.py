"""One data set de-identified: what stays, what goes, what is refused."""

import pydicom
import pytest
from igtv.dicom import suv
from igtv.dicom.deidentification import profile
from igtv.dicom.deidentification.descriptions import clean_text
from igtv.dicom.deidentification.identities import Identity
from igtv.dicom.deidentification.rules import deidentify_dataset
from igtv.dicom.errors import DicomError
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

IDENTITY = Identity(b"secret", "P0001", -100)
CT = "1.2.840.10008.5.1.4.1.1.2"
# Table E.1-1 of PS3.15 2024b, groups that CT, PET, RTSTRUCT, REG and SEG use: removed, emptied or replaced by dummies
MUST_GO = """
00080012 00080013 00080015 00080020 00080021 00080022 00080023 00080024 00080025 0008002A 00080030 00080031 00080032
00080033 00080034 00080035 00080050 00080054 00080055 00080080 00080081 00080082 00080090 00080092 00080094 00080096
0008009C 0008009D 00080106 00080107 00080201 00081000 00081010 00081030 0008103E 00081040 00081041 00081048 00081049
00081050 00081052 00081060 00081062 00081070 00081072 00081080 00081084 00081088 00081110 00081111 00081120 00082111
00084000 00100010 00100020 00100021 00100030 00100032 00100040 00100050 00100101 00100102 00101000 00101001 00101002
00101005 00101010 00101020 00101030 00101040 00101050 00101060 00101080 00101081 00101090 00101100 00102000 00102110
00102150 00102152 00102154 00102155 00102160 00102180 001021A0 001021B0 001021C0 001021D0 001021F0 00102203 00102297
00102299 00104000 00120010 00120020 00120021 00120030 00120031 00120040 00120042 00120050 00120051 00120060 00120071
00120072 00120081 00120082 00180010 00180027 00180035 00181000 00181004 00181005 00181007 00181008 00181009 0018100A
00181012 00181014 00181030 00181042 00181043 00181072 00181073 00181078 00181079 00181200 00181201 00181202 00181203
00181204 00181205 00181400 00184000 0018700A 0018700C 0018700E 00189074 00189151 00189185 00189367 00189369 0018936A
00189371 00189373 00189424 00189516 00189517 00189623 00189701 00189804 00189919 00189937 0018A002 0018A003 00200010
00200027 00203401 00203403 00203405 00203406 00204000 00209158 00284000 00321020 00321032 00321033 00321060 00321070
00324000 00380010 00380011 00380020 00380050 00380060 00380300 00380400 00380500 00384000 00400001 00400006 00400007
00400241 00400242 00400243 00400244 00400245 00400250 00400251 00400253 00400254 00400275 00400280 00400310 00400555
00401001 00401002 00401010 00401101 00402016 00402017 00402400 00403001 0040A027 0040A030 0040A073 0040A075 0040A078
0040A07A 0040A120 0040A121 0040A122 0040A123 0040A13A 0040A730 00700082 00700083 00700084 00700086 00880200 04000100
04000115 04000561 30060002 30060004 30060006 30060008 30060009 30060026 30060028 3006002D 3006002E 30060038 3006004D
3006004E 30060085 30060088 300600A6 300E0004 300E0005 300E0008 FFFAFFFA FFFCFFFC
""".split()  # noqa: SIM905


def ct(**values):
    dataset = Dataset()
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, generate_uid()
    dataset.Modality, dataset.PatientName, dataset.PatientID = "CT", "Miller^Jane", "4711-0815"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_table_of_the_standard_is_kept_to():
    """What the standard lets go stays only under one of the options, in changed form where it says so."""
    named = {pydicom.datadict.keyword_for_tag(int(tag, 16)) for tag in MUST_GO}
    assert not named & (profile.KEPT | profile.SCANNER_TEXT | profile.SEQUENCES)
    optional = profile.SHIFTED | profile.TIMES | profile.CHARACTERISTICS | profile.CLEANED
    changed = profile.PSEUDONYM | profile.EMPTIED | set(profile.REPLACED)
    assert named & optional <= {
        "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime", "InstanceCreationDate",
        "StructureSetDate", "ReviewDate", "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStopDateTime",
        "DecayCorrectionDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime", "StudyTime", "SeriesTime",
        "AcquisitionTime", "ContentTime", "InstanceCreationTime", "StructureSetTime", "ReviewTime",
        "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStopTime", "TimezoneOffsetFromUTC", "PatientSex",
        "PatientAge", "PatientSize", "PatientWeight", "StudyDescription", "SeriesDescription", "ProtocolName",
        "ROIName",
        "ROIObservationLabel",
    }  # fmt: skip
    assert not optional & changed
    assert all(DicomDictionary[tag_for_keyword(keyword)][0] in ("DA", "DT") for keyword in profile.SHIFTED)


def test_secret_in_every_attribute_of_the_dictionary():
    """All text attributes there are, at the top and within an item: a marker survives only in makers' text."""
    texts = ("LO", "SH", "ST", "LT", "UT", "UC", "PN")
    dataset, item = ct(), Dataset()
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr in texts and keyword and tag >> 16 >= 8:
            for target in (dataset, item):
                target.add_new(tag, vr, "Marker")
    dataset.PatientName, dataset.PatientID = "", ""
    for keyword in profile.IDENTIFIERS:
        for target in (dataset, item):
            setattr(target, keyword, "")
    dataset.RadiopharmaceuticalInformationSequence, dataset.ReferencedStudySequence = [item], [item]
    result = deidentify_dataset(dataset, IDENTITY)
    assert "ReferencedStudySequence" not in result
    survived = {element.keyword for element in result.iterall() if element.value == "Marker"}
    assert survived == set(profile.SCANNER_TEXT), "and nothing else"


def test_private_attributes_go_but_for_those_of_suv():
    dataset = ct(SeriesDescription="x")
    dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.128", "PT"
    dataset.add_new(0x70530010, "LO", "Philips PET Private Group")
    dataset.add_new(0x70531000, "DS", "0.000123")
    dataset.add_new(0x70531009, "UN", b"1.25 ")
    dataset.add_new(0x70531005, "LO", "Miller")
    dataset.add_new(0x00090011, "LO", "GEMS_PETD_01")
    dataset.add_new(0x0009110D, "DT", "20240110123456.00")
    dataset.add_new(0x00091102, "LO", "Miller")
    dataset.add_new(0x60003000, "OW", b"\0\0")
    result = deidentify_dataset(dataset, IDENTITY)
    assert {str(tag) for tag in result.keys() if tag.is_private} == {  # noqa: SIM118
        "(7053, 0010)", "(7053, 1000)", "(7053, 1009)", "(0009, 0011)", "(0009, 110d)",
    }  # fmt: skip
    assert (float(result[0x70531000].value), float(result[0x70531009].value)) == (0.000123, 1.25)
    assert result[0x0009110D].value == "20231002123456.00" and 0x60003000 not in result


@pytest.mark.parametrize(
    ("original", "moved"),
    [
        ("20240301", "20231122"),
        ("2024.03.01", "20231122"),
        ("20240301120000.50+0100", "20231122120000.50+0100"),
        ("20230230", ""),
        ("", ""),
        ("Miller", ""),
    ],
)
def test_dates_move_and_times_stay(original, moved):
    assert IDENTITY.date(original) == moved


def test_uids_are_consistent_and_those_of_the_standard_stay():
    one, other = IDENTITY.uid("1.2.3.4"), Identity(b"other", "P0001", -1).uid("1.2.3.4")
    assert one == IDENTITY.uid("1.2.3.4") != other and pydicom.uid.UID(one).is_valid and len(one) <= 64
    assert IDENTITY.uid(CT) == CT and IDENTITY.uid("") == ""
    result = deidentify_dataset(ct(FrameOfReferenceUID="1.2.3.4"), IDENTITY)
    assert result.FrameOfReferenceUID == one and result.SOPClassUID == CT


def test_the_patient_becomes_a_pseudonym_and_keeps_what_suv_needs():
    dataset = ct(PatientBirthDate="19300101", PatientAge="094Y", PatientWeight="70", PatientSize="1.7", PatientSex="F",
                 InstitutionName="Clinic", StudyDate="20240301")  # fmt: skip
    result = deidentify_dataset(dataset, IDENTITY)
    assert (str(result.PatientName), result.PatientID, result.PatientBirthDate) == ("P0001", "P0001", "")
    assert (result.PatientAge, result.PatientWeight, result.PatientSize, result.PatientSex) == ("090Y", 70, 1.7, "F")
    assert result.PatientIdentityRemoved == "YES" and result.StudyDate == "20231122" and "InstitutionName" not in result
    assert [item.CodeValue for item in result.DeidentificationMethodCodeSequence][0] == "113100"
    assert dataset.PatientID == "4711-0815", "the original is left alone"


@pytest.mark.parametrize(
    ("original", "cleaned"),
    [
        ("GTV Miller 40.0%", "GTV 40.0%"),
        ("Gated, 50.0%B", "Gated, 50.0%B"),
        ("iGTV_p1", "iGTV_p1"),
        ("Tumor_c40", "Tumor_c40"),
        ("PET WB (AC)", "PET WB (AC)"),
        ("Lungs-GTV", "Lungs-GTV"),
        ("19470312 CT Thorax", "CT Thorax"),
        ("Dr. Schmidt", ""),
        ("Müller", ""),
        ("MillerGTV", ""),
        ("", ""),
    ],
)
def test_of_descriptions_only_harmless_words_stay(original, cleaned):
    assert clean_text(original) == cleaned


def test_of_names_of_structures_only_harmless_words_stay():
    dataset = ct()
    dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"
    dataset.StructureSetLabel, dataset.StructureSetName = "Miller 1", "Miller"
    dataset.StructureSetROISequence = []
    for number, name in enumerate(("IGTV", "Jane Miller", "GTVp Miller"), start=1):
        item = Dataset()
        item.ROINumber, item.ROIName, item.ROIDescription = number, name, "by Dr. Who"
        dataset.StructureSetROISequence.append(item)
    result = deidentify_dataset(dataset, IDENTITY)
    assert [item.ROIName for item in result.StructureSetROISequence] == ["IGTV", "ROI 2", "GTVp"]
    assert result.StructureSetLabel == "STRUCTURES" and "Miller" not in str(result) and "Who" not in str(result)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation"),
        ({"RecognizableVisualFeatures": "YES"}, "RecognizableVisualFeatures"),
        ({"PixelData": b"", "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "picture of a screen"),
        ({"PixelData": b"", "SamplesPerPixel": 3}, "picture of a screen"),
        ({"PixelData": b"", "BitsAllocated": 8}, "picture of a screen"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "Secondary Capture"),
        ({"SOPClassUID": ""}, "missing"),
        ({"ConvolutionKernel": "for Miller"}, "ConvolutionKernel names"),
        ({"SoftwareVersions": "4711-0815"}, "SoftwareVersions names"),
    ],
)
def test_what_may_show_a_name_and_unknown_objects_are_refused(values, words):
    with pytest.raises(DicomError, match=words):
        deidentify_dataset(ct(**values), IDENTITY)


def test_suv_of_the_reference_objects_stays(unpacked):
    """Every way to SUV that the reference objects take gives the same factor from the changed headers."""
    folder = unpacked("suv_oracle/dro.tar.xz")
    seen = 0
    for series in sorted({path.parent for path in folder.rglob("*.dcm")}):
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(series.glob("*.dcm"))[:2]]
        if headers[0].Modality != "PT":
            continue
        changed = [deidentify_dataset(header, IDENTITY) for header in headers]
        assert changed[0].StudyDate != headers[0].StudyDate
        assert suv.suv_factors(changed) == suv.suv_factors(headers)
        seen += 1
    assert seen == 11
