"""Names of ROIs after cleaning: the importer chooses those that it chose before, and no others."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from igtv.dicom import roi_names
from igtv.dicom.deidentification.descriptions import clean_text
from igtv.dicom.deidentification.identities import Identity
from igtv.dicom.deidentification.rules import deidentify_dataset
from igtv.dicom.deidentification.structure_names import clean_structure_name
from igtv.dicom.phases import phase_in_text
from igtv.dicom.roi_names import standing
from pydicom.dataset import Dataset

TARGETS = ("GTV", "gtvp", "IGTV", "i-GTV", "ITV", "GTV_MIP", "GTV 4D", "tumor", "Tumour", "lesion")


def words(*patterns):
    """Words that rules of `roi_names` are written with."""
    return sorted({word for pattern in patterns for word in re.findall("[a-z]+", re.sub(r"\\\\.", "", pattern))})


EXCLUDING = words(roi_names._NEVER.pattern)
SIDES = words(roi_names._BEFORE)
_AFTER, _GLUED = (
    one.pattern.replace(roi_names._BEFORE, "").replace(roi_names._TARGET, "")
    for one in (roi_names._NODE_AFTER, roi_names._NODE_GLUED)
)
NODAL = sorted(set(words(_AFTER, _GLUED)) - {"ode", "odal", "pt"})  # n(ode|odal) and [pt] are no words
BEDS = ("sb", "bed")


def test_the_rules_words_are_those_known_here():
    assert {"crop", "shell", "margin", "minus", "avoid", "dummy", "rind", "ohne", "expan"} <= set(EXCLUDING)
    assert {"l", "right", "rml"} <= set(SIDES) and {"ln", "lymph", "nodal"} <= set(NODAL)


@pytest.mark.parametrize("word", [*EXCLUDING, *SIDES, *NODAL, *BEDS])
def test_every_word_of_the_rules_is_harmless(word):
    for name in (f"GTV_{word}", f"{word}_IGTV 2", f"{word} Heart"):
        assert clean_text(name) == name == clean_structure_name(name, "ROI 1")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("word", [*EXCLUDING, *BEDS, "exp"])
def test_words_of_help_structures_stay_with_every_target(target, word):
    assert clean_structure_name(f"{target}_{word}", "ROI 1") == f"{target}_{word}"


@pytest.mark.parametrize("name", ["_GTV", "~GTV", "z_GTV", "zGTV", "Z GTV", "zIGTV_1", "_IGTV_ring", "GTVsb", "GTVbed"])
def test_signs_of_help_structures_stay(name):
    assert clean_structure_name(name, "ROI 1") == name and not standing(name).eligible


@pytest.mark.parametrize(
    ("original", "cleaned"),
    [
        ("ITV_crop", "ITV_crop"),
        ("IGTV_shell", "IGTV_shell"),
        ("GTV_bed", "GTV_bed"),
        # no target before, none afterwards
        ("Miller GTV", "ROI 3"),
        ("RUL_Miller_GTV", "ROI 3"),
        ("zMiller_GTV", "ROI 3"),
        ("Cropped_Miller", "Cropped"),
        ("GTV_xcropx", "ROI 3"),
        ("IGTV+5_3", "ROI 3"),
        ("GTVplus ptvmiller", "ROI 3"),
        ("Heart Miller", "Heart"),
        ("Miller", "ROI 3"),
        ("", "ROI 3"),
        # a target before, the same afterwards
        ("GTV Miller", "GTV"),
        ("IGTVMiller", "IGTV"),
        ("ITVMiller", "ITV"),
        ("gtvmipMiller", "GTV_MIP"),
        ("TumorMiller", "tumour"),
        ("GTV 12.03.65", "GTV"),
        ("GTV_1_c40", "GTV_1_c40"),
        ("GTV_1_ph_40", "GTV_1_ph_40"),
        ("GTV_1_c_40", "GTV 40 %"),
        ("GTVMiller 50% Ex", "GTV 50 % ex"),
        ("GTVMiller 12.3456789%", "ROI 3"),
        # nodes before, nodes afterwards
        ("GTV_Lymphknoten", "LN"),
        ("IGTV lymphMiller", "IGTV_LN"),
        ("GTV_LN7 Miller", "GTV_LN7"),
        ("GTVp and n", "GTVp and n"),
    ],
)
def test_names_by_hand(original, cleaned):
    assert clean_structure_name(original, "ROI 3") == cleaned


def test_a_name_cut_to_its_longest_is_looked_at_as_it_is_then():
    name = "GTV lung" + " lung" * 11 + " x crop"
    assert len(name) > 64 and clean_structure_name(name, "ROI 1") == "ROI 1"


PIECES = st.sampled_from([*EXCLUDING, *SIDES, *NODAL, *BEDS, *TARGETS, "z", "exp", "Miller", "Müller", "lung", "and",
                          "ph", "c40", "T_5", "40%", "1", "12.03.65", "5mm", "3", "2020"])  # fmt: skip
JOINTS = st.sampled_from(["", "", "_", "_", " ", "-", "~", "+", ".", "^", "&", " - "])


@given(st.lists(st.tuples(JOINTS, PIECES), min_size=1, max_size=6).map(lambda pairs: "".join(map("".join, pairs))))
def test_what_is_chosen_of_a_name_is_the_same_before_and_after(name):
    cleaned = clean_structure_name(name, "ROI 1")
    if standing(name).eligible:
        assert standing(cleaned) == standing(name) and phase_in_text(cleaned) == phase_in_text(name)
    else:
        assert not standing(cleaned).eligible
    assert "iller" not in cleaned and "12.03" not in cleaned and "2020" not in cleaned


def of_sequence(sop_class, modality, sequence, **items):
    dataset = Dataset()
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = sop_class, "1.2.3", modality
    item = Dataset()
    for keyword, value in items.items():
        setattr(item, keyword, value)
    setattr(dataset, sequence, [item])
    return deidentify_dataset(dataset, Identity(b"secret", "P0001", -100))[sequence].value[0]


def test_rois_and_segments_are_named_so():
    structures = "1.2.840.10008.5.1.4.1.1.481.3"
    roi = of_sequence(structures, "RTSTRUCT", "StructureSetROISequence", ROINumber=7, ROIName="Miller GTV")
    assert roi.ROIName == "ROI 7"
    segments = "1.2.840.10008.5.1.4.1.1.66.4"
    segment = of_sequence(segments, "SEG", "SegmentSequence", SegmentNumber=2, SegmentLabel="Miller GTV")
    assert segment.SegmentLabel == "segment 2"
