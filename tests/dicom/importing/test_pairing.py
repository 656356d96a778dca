"""Which PET and which CT, from headers alone."""

from pathlib import Path

import pytest
from igtv.dicom.ct_kind import ct_kind
from igtv.dicom.errors import DicomError
from igtv.dicom.pairing import one_pet, pair, pet_candidates
from igtv.dicom.series import Series
from pydicom.dataset import Dataset

AXIAL, CORONAL = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1]


def series(modality, description, uid, z=(0, 100), study="S", frame="F", orientation=AXIAL, **tags):
    headers = []
    for position in range(z[0], z[1] + 1, 10):
        header = Dataset()
        header.ImagePositionPatient = [0, 0, position]
        header.ImageOrientationPatient = orientation
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        if modality == "PT":
            header.CorrectedImage, header.Units = ["DECY", "ATTN"], "BQML"
        for keyword, value in tags.items():
            setattr(header, keyword, value)
        headers.append(header)
    files = tuple(Path(f"{index}") for index in range(len(headers)))
    return Series("P", study, uid, modality, frame, description, files, tuple(headers))


def chosen_pet(members, **options):
    return one_pet(pet_candidates(members, **options)[0]).series_uid


def test_the_attenuation_corrected_pet_is_taken():
    corrected = series("PT", "PET AC", "ac")
    by_tag = series("PT", "PET", "nac1", CorrectedImage=["DECY"])
    by_name = series("PT", "PET_BODY_NO_AC", "nac2")
    assert chosen_pet([by_tag, corrected, by_name]) == "ac"


def test_an_uncorrected_pet_alone_is_refused_unless_asked_for():
    alone = [series("PT", "PET NAC", "nac")]
    with pytest.raises(DicomError, match="not corrected for attenuation.*--pet_series"):
        pet_candidates(alone)
    assert chosen_pet(alone, pet_series="NAC") == "nac"


def test_axial_and_original_before_reformat_and_derived():
    members = [
        series("PT", "PET", "good"),
        series("PT", "PET cor", "coronal", orientation=CORONAL),
        series("PT", "PET MIP", "mip", ImageType=["DERIVED", "SECONDARY", "MIP"]),
        series("PT", "PET mm", "derived", ImageType=["DERIVED", "PRIMARY"]),
    ]
    assert chosen_pet(members) == "good"


def test_two_pets_are_named_with_the_option():
    members = [series("PT", "PET 3D", "1.1"), series("PT", "PET TOF", "1.2")]
    with pytest.raises(DicomError, match=r"PET 3D.*1\.1.*PET TOF.*1\.2.*--pet_series"):
        chosen_pet(members)
    assert chosen_pet(members, pet_series="tof") == "1.2"
    assert chosen_pet(members, pet_series="1.1") == "1.1"


def test_the_ct_of_the_frame_with_the_best_cover_is_taken():
    pet = series("PT", "PET", "p", z=(0, 800))
    members = [
        pet,
        series("CT", "CT AC", "whole", z=(0, 800)),
        series("CT", "CT chest", "chest", z=(400, 700)),
        series("CT", "CT planning", "other", z=(0, 800), frame="G"),
        series("CT", "scout", "scout", z=(0, 10)),
    ]
    found = pair(pet, members, [])
    assert found.ct.series_uid == "whole"
    assert any("chest" in words and "38%" in words for words in found.decisions)


def test_two_equal_cts_are_named_with_the_option():
    pet = series("PT", "PET", "p")
    members = [pet, series("CT", "CT B30", "1.1"), series("CT", "CT B70", "1.2")]
    with pytest.raises(DicomError, match=r"CT B30.*1\.1.*CT B70.*1\.2.*--ct_series"):
        pair(pet, members, [])
    assert pair(pet, members, [], ct_series="b70").ct.series_uid == "1.2"
    with pytest.raises(DicomError, match="fits none.*CT B30"):
        pair(pet, members, [], ct_series="B99")


def test_a_pet_without_ct_in_its_frame_is_refused():
    pet = series("PT", "PET", "p")
    with pytest.raises(DicomError, match="no CT lies in the frame of reference"):
        pair(pet, [pet, series("CT", "CT", "c", frame="G")], [])


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ("Thorax AIP", "average"),
        ("4D Average", "average"),
        ("MIP 4D", "MIP"),
        ("50.0%", "phase"),
        ("Gated 50%", "phase"),
        ("CT ASIR 30%", "free breathing"),
        ("AC CT 10% contrast", "free breathing"),
        ("CT iDose 50%", "free breathing"),
        ("CT 50%", "free breathing"),
        ("CT Thorax", "free breathing"),
        ("Lumpimip", "free breathing"),
    ],
)
def test_kind_of_a_ct(description, kind):
    assert ct_kind(series("CT", description, "1"))[0] == kind
