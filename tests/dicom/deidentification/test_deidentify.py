"""A folder tree de-identified: nothing of the patients left, everything that counts the same."""

import json
import os
import re
import shutil
import subprocess
from datetime import datetime

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from igtv.dicom import read_contours, suv
from igtv.dicom.deidentification.deidentify import deidentify
from igtv.dicom.errors import DicomError
from monai.bundle import run


@pytest.fixture(scope="module")
def made(shared_dir, tmp_path_factory):
    """STS_002, every sixth slice, with a screenshot and a damaged file among it; and what became of it."""
    folder = tmp_path_factory.mktemp("deidentified")
    for modality in ("CT", "PET"):
        source = shared_dir / "data" / "dicom" / "STS_002" / modality
        target = folder / "clinic" / "Doe Jane" / modality
        target.mkdir(parents=True)
        for path in [*sorted((source / "image").iterdir())[::6], source / "mask" / "RS.dcm"]:
            shutil.copyfile(path, target / path.name)
    screen = pydicom.dcmread(folder / "clinic" / "Doe Jane" / "CT" / "000000.dcm")
    screen.BurnedInAnnotation, screen.SOPInstanceUID = "YES", "1.2.3"
    screen.save_as(folder / "clinic" / "screen.dcm")
    whole = (folder / "clinic" / "Doe Jane" / "CT" / "000006.dcm").read_bytes()
    (folder / "clinic" / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    report = deidentify(folder / "clinic", folder / "given", folder / "key.json", num_workers=0, progress=False)
    return folder, report


def of(folder, modality):
    """Data sets of one modality, by position."""
    found = [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm")) if "cut" not in path.name]
    found = [one for one in found if one.Modality == modality and one.get("BurnedInAnnotation") != "YES"]
    return sorted(found, key=lambda one: float(one.ImagePositionPatient[2])) if modality != "RTSTRUCT" else found


def test_a_folder_per_pseudonym_and_a_report_of_what_was_left_out(made):
    folder, report = made
    assert {(entry["modality"], entry["files"]) for entry in report["series"]} == {
        ("CT", 8),
        ("PT", 8),
        ("RTSTRUCT", 1),
    }
    assert sorted(os.listdir(folder / "given")) == ["P0001"]
    reasons = {os.path.basename(entry["file"]): entry["reason"] for entry in report["left_out"]}
    assert set(reasons) == {"screen.dcm", "cut.dcm"}
    assert "BurnedInAnnotation" in reasons["screen.dcm"] and "cut off" in reasons["cut.dcm"]
    key = json.loads((folder / "key.json").read_text())
    assert list(key["patients"]) == ["STS_002"] and (folder / "key.json").stat().st_mode & 0o077 == 0
    assert json.loads((folder / "key_report.json").read_text()) == report


def test_nothing_of_the_patient_is_left(made):
    """Bytes of every file, with its name: no identifier, no UID and no date of the originals."""
    folder, _ = made
    gone = {b"STS_002", b"Doe"}
    for modality in ("CT", "PT", "RTSTRUCT"):
        for original in of(folder / "clinic", modality):
            gone |= {
                str(e.value).encode() for e in original if e.VR == "UI" and not str(e.value).startswith("1.2.840.10008")
            }
            gone |= {str(e.value).encode() for e in original if e.VR == "DA" and e.value}
    gone -= {b""}
    for path in (folder / "given").rglob("*.dcm"):
        content = path.read_bytes()
        header = content[: content.find(b"\xe0\x7f\x10\x00")]  # pixels may hold any bytes
        assert not [text for text in gone if text in header or text.decode() in str(path.relative_to(folder))], (
            path.name
        )


def test_images_and_suv_are_the_same(made):
    folder, _ = made
    for modality in ("CT", "PT"):
        before, after = of(folder / "clinic", modality), of(folder / "given", modality)
        assert len(before) == len(after) == 8
        for old, new in zip(before, after, strict=True):
            assert np.array_equal(old.pixel_array, new.pixel_array)
            assert old.ImagePositionPatient == new.ImagePositionPatient and old.RescaleSlope == new.RescaleSlope
            assert old.file_meta.TransferSyntaxUID == new.file_meta.TransferSyntaxUID
        if modality == "PT":
            assert suv.suv_factors(after) == suv.suv_factors(before)


def test_all_dates_move_alike(made):
    folder, _ = made
    shift = json.loads((folder / "key.json").read_text())["patients"]["STS_002"]["shift_days"]
    assert -3650 <= shift <= -30
    for modality in ("CT", "PT", "RTSTRUCT"):
        old, new = of(folder / "clinic", modality)[0], of(folder / "given", modality)[0]
        days = [datetime.strptime(one.StudyDate, "%Y%m%d") for one in (old, new)]
        assert (days[1] - days[0]).days == shift and old.StudyTime == new.StudyTime


def test_contours_are_the_same(made, gdcm_volume):
    folder, _ = made
    frames = {one.FrameOfReferenceUID for modality in ("CT", "PT") for one in of(folder / "given", modality)}
    assert len(frames) == 1
    reference = gdcm_volume(folder / "clinic" / "Doe Jane" / "CT")
    before = read_contours(folder / "clinic" / "Doe Jane" / "CT" / "RS.dcm", reference)["GTV_Mass_CT"]
    structures = [p for p in (folder / "given").rglob("*.dcm") if p.parent.name.startswith("RTSTRUCT")]
    masks = {}
    for path in structures:
        masks |= read_contours(path, reference, frame_of_reference_uid=frames.copy().pop())
    assert set(masks) == {"GTV_Mass_CT", "GTV_Mass_PET"}
    assert np.array_equal(sitk.GetArrayFromImage(masks["GTV_Mass_CT"]), sitk.GetArrayFromImage(before))


def test_no_error_that_the_original_has_not(made, program):
    """dciodvfy, on one file of each kind."""
    folder, _ = made

    def errors(dataset):
        found = subprocess.run(
            [program("dciodvfy"), dataset.filename], capture_output=True, text=True, timeout=60, errors="replace"
        )
        lines = [line for line in found.stderr.splitlines() if line.startswith("Error")]
        return {re.sub(r"<[^>]*>|= *\S+", "", line) for line in lines}

    for modality in ("CT", "PT", "RTSTRUCT"):
        before, after = errors(of(folder / "clinic", modality)[0]), errors(of(folder / "given", modality)[0])
        assert after <= before, modality


def test_a_second_run_with_the_key_gives_the_same(made):
    """The key makes a second run, here with two processes, repeat the first byte by byte."""
    folder, _ = made
    deidentify(folder / "clinic", folder / "again", folder / "key.json", num_workers=2, progress=False)
    first = {path.relative_to(folder / "given"): path.read_bytes() for path in (folder / "given").rglob("*.dcm")}
    second = {path.relative_to(folder / "again"): path.read_bytes() for path in (folder / "again").rglob("*.dcm")}
    assert first == second and len(first) == 18


def test_only_processors_that_may_be_used_count(made, tmp_path, monkeypatch):
    folder, _ = made
    for number, file in enumerate((folder / "clinic" / "Doe Jane").rglob("*06.dcm")):
        (tmp_path / "clinic").mkdir(exist_ok=True)
        shutil.copyfile(file, tmp_path / "clinic" / str(number))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    asked = []
    work = "igtv.dicom.deidentification.deidentify._all"
    monkeypatch.setattr(work, lambda series, target, workers, progress: asked.append((len(series), workers)) or ())
    with pytest.raises(DicomError):
        deidentify(tmp_path / "clinic", tmp_path / "given", progress=False)
    assert asked == [(2, 1)]


def test_another_key_gives_another_result(made):
    folder, _ = made
    small = folder / "small"
    shutil.copytree(folder / "clinic" / "Doe Jane" / "PET", small, ignore=lambda _, names: sorted(names)[1:])
    names = set()
    for number in range(2):
        deidentify(small, folder / f"out{number}", pseudonym_prefix="LUNG", num_workers=0, progress=False)
        assert (folder / f"out{number}_key.json").is_file()
        names |= {path.name for path in (folder / f"out{number}" / "LUNG0001").rglob("*.dcm")}
    assert len(names) == 2


def test_the_verb_hands_its_keys_on_and_knows_no_others(made, bundle_dir):
    folder, _ = made
    config = str(bundle_dir / "configs" / "deidentify.json")
    settings = {"dicom_dir": str(folder / "clinic"), "output_dir": str(folder / "verb"), "num_workers": 0}
    run(run_id="deidentifying", config_file=config, key_file=str(folder / "key.json"), **settings)
    assert len(list((folder / "verb" / "P0001").rglob("*.dcm"))) == 18
    with pytest.raises(RuntimeError) as caught:
        run(run_id="deidentifying", config_file=config, pseudonym_prefx="L", **settings)
    assert "pseudonym_prefix" in str(caught.value.__cause__)


def test_folders_that_would_mix_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match="within dicom_dir"):
        deidentify(tmp_path / "in", tmp_path / "in" / "out")
    with pytest.raises(ValueError, match="within output_dir"):
        deidentify(tmp_path / "in", tmp_path)
    with pytest.raises(ValueError, match="kept apart"):
        deidentify(tmp_path / "in", tmp_path / "out", tmp_path / "out" / "key.json")
    with pytest.raises(ValueError, match="--dicom_dir"):
        deidentify(None, tmp_path / "out")
    with pytest.raises(DicomError, match="nothing was de-identified"):
        deidentify(tmp_path / "in", tmp_path / "out", progress=False)


def test_key_file_that_is_none(made):
    folder, _ = made
    (folder / "wrong.json").write_text("[]")
    with pytest.raises(ValueError, match=r"wrong\.json is no key"):
        deidentify(folder / "clinic", folder / "given", folder / "wrong.json", progress=False)
