"""A target CT that is one of several, or made of a 4D-CT: by the user's word, and what is said where it fits badly."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.dicom.errors import DicomError
from igtv.dicom.pairing import Pair
from igtv.dicom.phases import find_four_d
from igtv.dicom.series import Series
from igtv.dicom.target_ct import choose_target
from pydicom.dataset import Dataset

TWO_CYCLES = ["0%", "50%", *(f"late {value}%" for value in (0, 25, 50, 75))]
NO_PET = Pair(None, None, None, ())


def cts(*descriptions, frame="F"):
    """CT series of headers alone; their UIDs are their descriptions."""
    return [Series("P", "S", text, "CT", frame, text, (Path("f"),), (Dataset(),)) for text in descriptions]


def choose(series, word, pair=NO_PET):
    return choose_target(pair, series, find_four_d(series), word)


@pytest.fixture(scope="module")
def breathing(dicom, tmp_path_factory):
    """A 4D-CT of four phases without PET, and the HU of each phase."""
    folder = tmp_path_factory.mktemp("breathing")
    values = {}
    for phase in (0, 25, 50, 75):
        image = sitk.Round(dicom.body(seed=phase))
        dicom.series(folder, image, description=f"{phase}%")
        values[phase] = sitk.GetArrayFromImage(image)
    return folder, values


@pytest.mark.parametrize("word", ["MIP", "average", "50%", "50"])
def test_the_word_for_a_4d_ct_gives_the_ct_of_the_case(word, breathing, run_import, log_of, tmp_path):
    folder, values = breathing
    run_import(folder, tmp_path / "data", target_ct=word)
    stack = np.stack(list(values.values()))
    expected = {"MIP": stack.max(axis=0), "average": stack.mean(axis=0)}.get(word, values[50])
    found = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "data" / "P1" / "ct.nii.gz"))
    assert np.abs(found - expected).max() <= (0.5 if word == "average" else 0)
    row = log_of(tmp_path / "data")["P1"]
    assert (row["ct_kind"], row.get("phase")) == {"MIP": ("MIP", None), "average": ("average", None)}.get(
        word, ("phase", "50 %")
    )
    phases = json.loads((tmp_path / "data" / "P1" / "motion.json").read_text())["phases"]
    assert [entry["phase"] for entry in phases] == ["0 %", "25 %", "50 %", "75 %"]


@pytest.mark.parametrize(
    ("descriptions", "word", "message"),
    [
        (["CT B30", "CT B70"], "CT B", "--target_ct 'CT B' fits 2 CT series: .*CT B30.*CT B70.*give a UID"),
        (["CT B30", "CT B70"], "dosimetry", "--target_ct 'dosimetry' fits none of: .*CT B30.*CT B70"),
        (["CT", "AIP 3mm", "AIP 1mm"], "average", "average: there is no 4D-CT .* 2 CT series .*AIP 3mm.*AIP 1mm"),
        (["CT", "AIP"], "MIP", "--target_ct MIP: there is no 4D-CT .* 0 CT series are called so: .*CT.*AIP"),
        (["CT"], "50%", "asks for phase 50 %, but the patient has no 4D-CT"),
        (["0%", "50%"], "30%", "asks for phase 30 %; there are: 0 %, 50 %"),
        (TWO_CYCLES, "MIP", "asks for MIP, and there are 2 4D-CTs .*0%.*--exclude_series"),
        (TWO_CYCLES, "50", "asks for phase 50 %, and there are 2 4D-CTs .*--exclude_series"),
    ],
)
def test_a_word_that_fits_no_ct_or_several_is_refused(descriptions, word, message):
    with pytest.raises(DicomError, match=message):
        choose(cts(*descriptions), word)


def test_of_two_4d_cts_that_of_the_pets_frame_is_taken():
    series = [*cts("0%", "50%"), *cts("0%", "50%", frame="G")]
    four_d = find_four_d(series)
    (own,) = [one for one in four_d if one.frame_of_reference_uid == "G"]
    for word, kind in (("MIP", "MIP"), ("50%", "phase")):
        target = choose(series, word, Pair(None, None, own, ()))
        assert (target.kind, target.frame_of_reference_uid) == (kind, "G")


def test_one_ct_that_is_called_so_stands_in_for_a_4d_ct():
    series = cts("CT", "AIP")
    target = choose(series, "average")
    assert target.series == (series[1],) and target.kind == "average" and not target.made


def test_strengths_of_a_reconstruction_are_two_cts_to_choose_from(dicom, run_import, log_of, tmp_path):
    folder, ct = tmp_path / "dicom", sitk.Round(dicom.body())
    dicom.series(folder, dicom.pet(ct), "PT", description="PET AC")
    for strength in (0, 50):
        dicom.series(folder, ct, description=f"CTAC ASIR {strength}%")
    with pytest.raises(DicomError, match=r"2 CT series fit: .*CTAC ASIR 0%.*CTAC ASIR 50%.*--ct_series"):
        run_import(folder, tmp_path / "data")
    run_import(folder, tmp_path / "data", ct_series="ASIR 0%")
    row = log_of(tmp_path / "data")["P1"]
    assert row["ct_kind"] == "free breathing" and "motion" not in row
    assert not (tmp_path / "data" / "P1" / "motion.json").exists()


def write_petct(dicom, folder, phases, ct_of_pet=False):
    """A PET and a 4D-CT of one frame, phase after phase; phase -> HU."""
    ct = sitk.Round(dicom.body())
    dicom.series(folder, dicom.pet(ct), "PT", description="PET AC")
    if ct_of_pet:
        dicom.series(folder, ct, description="CT AC")
    images = {phase: sitk.Round(dicom.body(seed=phase)) for phase in phases}
    for phase, image in images.items():
        dicom.series(folder, image, description=f"{phase}%")
    return {phase: sitk.GetArrayFromImage(image) for phase, image in images.items()}


def test_a_4d_ct_named_to_100_percent_serves_the_pet(dicom, run_import, log_of, tmp_path):
    values = write_petct(dicom, tmp_path / "dicom", (25, 50, 75, 100))
    run_import(tmp_path / "dicom", tmp_path / "data")
    row = log_of(tmp_path / "data")["P1"]
    assert [entry["phase"] for entry in row["source"]["phases"]] == ["25 %", "50 %", "75 %", "100 %"]
    found = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "data" / "P1" / "ct.nii.gz"))
    assert np.abs(found - np.mean(list(values.values()), axis=0)).max() <= 0.5
    run_import(tmp_path / "dicom", tmp_path / "data", target_ct="0%")
    found = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "data" / "P1" / "ct.nii.gz"))
    assert np.array_equal(found, values[100]) and log_of(tmp_path / "data")["P1"]["phase"] == "100 %"


def test_a_missing_phase_is_named_where_no_other_ct_serves(dicom, run_import, log_of, tmp_path):
    write_petct(dicom, tmp_path / "dicom", (20, 40, 80, 100))
    with pytest.raises(DicomError) as error:
        run_import(tmp_path / "dicom", tmp_path / "data")
    assert "no CT of the patient can be used: left out, 4 series of a 4D-CT that cannot be used" in str(error.value)
    assert "4D-CT not used: phase 60 % of the 4D-CT is missing" in str(error.value)
    assert "--allow_missing_phases" in str(error.value) and "--ct_series" not in str(error.value)
    run_import(tmp_path / "dicom", tmp_path / "data", allow_missing_phases=True)
    assert log_of(tmp_path / "data")["P1"]["ct_kind"] == "average"
    run_import(tmp_path / "dicom", tmp_path / "data", ct_series="40%")  # one of its phases, by the user's word
    assert log_of(tmp_path / "data")["P1"]["ct_kind"] == "phase"


def test_phases_of_an_unsound_4d_ct_do_not_compete_with_the_ct_of_the_pet(dicom, run_import, log_of, tmp_path):
    write_petct(dicom, tmp_path / "dicom", (0, 20, 40, 80), ct_of_pet=True)
    run_import(tmp_path / "dicom", tmp_path / "data")
    row = log_of(tmp_path / "data")["P1"]
    assert row["source"]["ct"][0]["description"] == "CT AC" and row["ct_kind"] == "free breathing"
    assert any(words.startswith("4D-CT not used: phase 60 %") for words in row["decisions"])
    dicom.series(tmp_path / "dicom", dicom.body(), description="CT B70")
    with pytest.raises(DicomError, match="2 CT series fit: .*CT AC.*CT B70.*; 4D-CT not used: phase 60 % of the 4D-CT"):
        run_import(tmp_path / "dicom", tmp_path / "data")
