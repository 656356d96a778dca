"""The verb as a whole: what is written, what is left out, what is not done again, what a kill leaves."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import psutil
import pytest
from igtv.data.checks import check_cases
from igtv.data.datalist import read_datalist, split_cases
from igtv.dicom import import_dataset
from igtv.dicom.errors import DicomError

FILES = {"ct.nii.gz", "pet.nii.gz", "label.nii.gz", "overlay.png", "case.json"}


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nii.gz")}


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith((".importing", ".replaced", ".writing"))]


@pytest.fixture(scope="module")
def imported(real_studies, run_import, tmp_path_factory):
    """Two real studies, files mixed in one folder, imported by two processes."""
    folder = tmp_path_factory.mktemp("imported") / "data"
    return folder, run_import(real_studies, folder, num_workers=2)


def test_real_studies_become_cases_that_training_takes(imported):
    folder, datalist = imported
    assert [item["patient_id"] for item in datalist["training"]] == ["STS_002", "STS_042"]
    assert all({path.name for path in (folder / case).iterdir()} == FILES for case in ("STS_002", "STS_042"))
    cases = split_cases(read_datalist(folder / "dataset.json"), 0, "training", num_folds=2)
    good, bad = check_cases(cases, progress=False)
    assert (len(good), bad) == (1, [])
    assert {"cases.csv", "cases.html", "import_log.json"} <= {path.name for path in folder.iterdir()}


def test_voxels_are_those_of_the_published_crops(imported, shared_dir):
    """The crops lie on other grids; what both hold at one place in the patient must agree."""
    folder, _ = imported
    for case in ("STS_002", "STS_042"):
        for name, other, tolerance in (("pet", "pet", 0.35), ("label", "gtv", 0.1)):
            ours = nib.load(folder / case / f"{name}.nii.gz")
            theirs = nib.load(shared_dir / "data" / "petct_gtv" / case / f"{other}.nii.gz")
            ours_mm3, theirs_mm3 = (abs(np.linalg.det(image.affine)) for image in (ours, theirs))
            one, two = ours.get_fdata(), theirs.get_fdata()
            centres = [
                nib.affines.apply_affine(image.affine, np.average(np.argwhere(v > 0.5), axis=0, weights=v[v > 0.5]))
                for image, v in ((ours, one), (theirs, two))
            ]
            if name == "label":
                assert np.linalg.norm(centres[0] - centres[1]) < 1.0
                assert one.sum() * ours_mm3 == pytest.approx(two.sum() * theirs_mm3, rel=tolerance)
            else:
                assert one.max() == pytest.approx(two.max(), rel=tolerance)


def test_the_datalist_remembers_the_series_and_the_log_the_decisions(imported, log_of):
    folder, datalist = imported
    source = datalist["training"][0]["source"]
    assert source["ct"][0]["series_uid"].endswith("35533244")
    assert source["pet"]["series_uid"].endswith("37667411")
    assert source["label"][0]["roi"] == ["GTV_Mass_CT"]
    assert source["label"][0]["sop_instance_uid"] and "file" not in source["label"][0]
    row = log_of(folder)["STS_002"]
    assert row["status"] == "imported" and row["label_kind"] == "gtv"
    assert any("Units GML" in words for words in row["decisions"])
    assert datalist["training"][0]["ct_kind"] == "free breathing"
    page = (folder / "cases.html").read_text()
    assert "STS_042/overlay.png" in page and "STS_042" in (folder / "cases.csv").read_text()


def test_running_again_does_only_what_is_new(imported, real_studies, run_import, dicom, log_of, tmp_path):
    first, _ = imported
    folder, source = tmp_path / "data", tmp_path / "dicom"
    shutil.copytree(first, folder)
    shutil.copytree(real_studies, source)
    before = times(folder)
    run_import(source, folder)
    assert times(folder) == before
    dicom.patient(source / "deep" / "er", "NEW 1")
    datalist = run_import(source, folder)
    assert len(datalist["training"]) == 3
    after = times(folder)
    assert {path: after[path] for path in before} == before
    statuses = {case: row["status"] for case, row in log_of(folder).items()}
    new = next(case for case in statuses if case.startswith("NEW_1"))
    assert statuses == {"STS_002": "already there", "STS_042": "already there", new: "imported"}


def test_a_bad_patient_is_left_out_and_the_others_go_on(dicom, run_import, log_of, tmp_path):
    source, folder = tmp_path / "dicom", tmp_path / "data"
    for patient in ("A", "B", "C"):
        dicom.patient(source / patient, patient)
    gap = sorted((source / "B").glob("*_5"))[0]
    gap.unlink()  # a slice in the middle of the CT or the PET
    datalist = run_import(source, folder)
    assert [item["patient_id"] for item in datalist["training"]] == ["A", "C"]
    row = log_of(folder)["B"]
    assert row["status"] == "failed" and "slices are missing" in row["error"]
    assert not (folder / "B").exists() and leftovers(folder) == []
    assert "Doe" not in (folder / "import_log.json").read_text()


def test_a_damaged_end_slice_is_not_passed_over(dicom, run_import, log_of, tmp_path):
    """Without its last slice a series is still regular: only the damaged file tells."""
    dicom.patient(tmp_path / "dicom", "A")
    dicom.patient(tmp_path / "dicom", "B")
    last = sorted((tmp_path / "dicom").glob("*_11"))[0]
    last.write_bytes(last.read_bytes()[:-200])
    run_import(tmp_path / "dicom", tmp_path / "data")
    errors = [row["error"] for row in log_of(tmp_path / "data").values() if row["status"] == "failed"]
    assert len(errors) == 1 and "cut off" in errors[0] and last.name in errors[0]


def test_damaged_contours_are_not_taken_for_none(dicom, run_import, log_of, tmp_path):
    dicom.patient(tmp_path / "dicom", "A")
    dicom.patient(tmp_path / "dicom", "B")
    path = tmp_path / "dicom" / "A_rs"
    path.write_bytes(path.read_bytes()[:-300])
    datalist = run_import(tmp_path / "dicom", tmp_path / "data")
    assert [item["patient_id"] for item in datalist["training"]] == ["B"] and datalist["testing"] == []
    assert "A_rs" in log_of(tmp_path / "data")["A"]["error"]


def test_every_case_bad_is_an_error_that_names_them(dicom, run_import, tmp_path):
    dicom.patient(tmp_path / "dicom", "A", label=False)
    for path in (tmp_path / "dicom").glob("*_4"):
        path.unlink()
    with pytest.raises(DicomError, match=r"none of 1 cases(.|\n)*A: .*slices are missing"):
        run_import(tmp_path / "dicom", tmp_path / "data")


def test_no_dicom_at_all(run_import, tmp_path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "letter.txt").write_text("no image")
    with pytest.raises(DicomError, match="no usable DICOM file"):
        run_import(tmp_path / "dicom", tmp_path / "data")
    with pytest.raises(FileNotFoundError):
        run_import(tmp_path / "nowhere", tmp_path / "data")
    with pytest.raises(ValueError, match="--dicom_dir"):
        run_import(None, tmp_path / "data")


def test_a_foreign_data_set_is_not_touched(dicom, run_import, tmp_path):
    dicom.patient(tmp_path / "dicom")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "dataset.json").write_text('{"training": []}')
    with pytest.raises(FileExistsError, match="other origin"):
        run_import(tmp_path / "dicom", folder)


def test_a_case_without_contours_goes_to_testing_and_one_of_two_names_is_asked_for(dicom, run_import, log_of, tmp_path):
    source = tmp_path / "dicom"
    dicom.patient(source, "A", label=False)
    ct = dicom.patient(source, "B", label=False, frame="1.2.9", seed=1)
    box = dicom.box(ct, (11, 10, 5), (14, 13, 8))
    dicom.rtstruct(source / "rs", {"GTVp1": box, "GTVp2": box, "CTV": box}, "B", frame="1.2.9")
    datalist = run_import(source, tmp_path / "data")
    assert [item["patient_id"] for item in datalist["testing"]] == ["A"]
    assert "--roi" in log_of(tmp_path / "data")["B"]["error"]
    datalist = run_import(source, tmp_path / "data", roi={"B": "GTVp2"})
    assert [item["source"]["label"][0]["roi"] for item in datalist["training"]] == [["GTVp2"]]


def test_what_people_changed_in_the_datalist_stays(dicom, run_import, tmp_path):
    source, folder = tmp_path / "dicom", tmp_path / "data"
    for patient in ("A", "B"):
        dicom.patient(source / patient, patient)
    datalist = run_import(source, folder)
    for fold, item in enumerate(datalist["training"]):
        item |= {"fold": fold, "centre": "north"}
    (folder / "dataset.json").write_text(json.dumps(datalist))
    dicom.patient(source / "C", "C")
    items = {item["patient_id"]: item for item in run_import(source, folder)["training"]}
    assert [items[case]["fold"] for case in "ABC"] == [0, 1, 0]
    assert items["A"]["centre"] == "north"
    read_datalist(folder / "dataset.json")


def test_cases_have_names_of_folders_of_their_own(dicom, run_import, tmp_path):
    source = tmp_path / "dicom"
    for patient in ("a/b", "a.b", "PLAIN-1"):
        dicom.patient(source / patient.replace("/", "-"), patient, label=False)
    names = [item["patient_id"] for item in run_import(source, tmp_path / "ids")["testing"]]
    assert "PLAIN-1" in names and len(set(names)) == 3 and all("/" not in name and "." not in name for name in names)
    hashed = [item["patient_id"] for item in run_import(source, tmp_path / "hashes", case_names="hash")["testing"]]
    assert all(len(name) == 12 for name in hashed)
    assert "PLAIN" not in (tmp_path / "hashes" / "import_log.json").read_text()


def test_two_pet_studies_of_a_patient_are_two_cases_that_stay_together(dicom, run_import, tmp_path):
    for frame in ("1.2.1", "1.2.2"):
        dicom.patient(tmp_path / "dicom" / frame, "A", frame=frame)
    datalist = run_import(tmp_path / "dicom", tmp_path / "data")
    assert [item["ct"] for item in datalist["training"]] == ["A_1/ct.nii.gz", "A_2/ct.nii.gz"]
    assert {item.patient for item in read_datalist(tmp_path / "data" / "dataset.json").training} == {"A"}


# what a worker runs instead of `_import_one`; for some patients the writing of their case ends otherwise
WORKER = """
import os, time
from igtv.dicom import import_dataset
import_one = import_dataset._import_one

def die(work, options, folder):
    (folder / "ct.nii.gz").write_bytes(b"half")
    os._exit(1)

def hang(work, options, folder):
    (folder / "ct.nii.gz").write_bytes(b"half")
    time.sleep(600)

def run(folder, work, *rest):
    if work.patient_id in ENDS:
        import_dataset.import_case = ENDS[work.patient_id]
    return import_one(folder, work, *rest)
"""


def test_a_case_that_kills_its_process_is_named_and_the_others_are_complete(
    dicom, run_import, log_of, tmp_path, monkeypatch
):
    """As one that needs more memory than there is; of what it had written nothing stays."""
    source, folder = tmp_path / "dicom", tmp_path / "data"
    for patient in ("A", "B"):
        dicom.patient(source / patient, patient)
    (tmp_path / "dying_worker.py").write_text(WORKER + "\nENDS = {'B': die}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(import_dataset, "_import_one", importlib.import_module("dying_worker").run)
    datalist = run_import(source, folder, num_workers=2)
    rows = log_of(folder)
    assert rows["A"]["status"] == "imported"
    assert rows["B"] == {
        "case": "B",
        "status": "failed",
        "error": "its process ended without a word; is there enough memory?",
    }
    assert [item["patient_id"] for item in datalist["training"]] == ["A"]
    assert {path.name for path in (folder / "A").iterdir()} == FILES
    assert not (folder / "B").exists() and leftovers(folder) == []


def test_a_folder_of_other_origin_is_not_replaced_by_a_case(dicom, run_import, log_of, tmp_path):
    source, folder = tmp_path / "dicom", tmp_path / "data"
    for patient in ("A", "B"):
        dicom.patient(source / patient, patient)
    (folder / "A").mkdir(parents=True)
    (folder / "A" / "notes.txt").write_text("mine")
    datalist = run_import(source, folder)
    assert log_of(folder)["A"]["error"] == "A in the data set's folder holds something else: move it away"
    assert [path.name for path in (folder / "A").iterdir()] == ["notes.txt"]
    assert (folder / "A" / "notes.txt").read_text() == "mine"
    assert [item["patient_id"] for item in datalist["training"]] == ["B"] and leftovers(folder) == []


def test_a_kill_leaves_nothing_half_written(dicom, run_import, bundle_dir, tmp_path):
    """One process has written a case by then, another half of one; neither outlives the import."""
    source, folder = tmp_path / "dicom", tmp_path / "data"
    for number in range(2):
        dicom.patient(source / str(number), f"P{number}", seed=number)
    (tmp_path / "hanging_worker.py").write_text(WORKER + "\nENDS = {'P1': hang}\n")
    (tmp_path / "run.py").write_text(
        "import hanging_worker\n"
        "from igtv.dicom import import_dataset\n"
        "if __name__ == '__main__':\n"
        "    import_dataset._import_one = hanging_worker.run\n"
        f"    import_dataset.import_dataset({str(source)!r}, {str(folder)!r}, num_workers=2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(bundle_dir), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, tmp_path / "run.py"], env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while not ((folder / "P0").exists() and list(folder.glob(".importing-*/ct.nii.gz"))):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        workers = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
        process.wait(60)
    assert len(workers) >= 2 and psutil.wait_procs(workers, timeout=60)[1] == []
    assert {path.name for path in (folder / "P0").iterdir()} == FILES
    assert not (folder / "P1").exists() and not (folder / "dataset.json").exists() and len(leftovers(folder)) == 1
    before = times(folder / "P0")
    datalist = run_import(source, folder)
    assert len(datalist["training"]) == 2 and leftovers(folder) == []
    assert times(folder / "P0") == before


def test_the_verb_refuses_a_misspelt_key_and_runs(dicom, bundle_dir, tmp_path):
    from monai.bundle import ConfigWorkflow

    dicom.patient(tmp_path / "dicom", "A")

    def run(**overrides):
        workflow = ConfigWorkflow(
            config_file=str(bundle_dir / "configs" / "import_dicom.json"),
            meta_file=str(bundle_dir / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="train",
            run_id="importing",
            bundle_root=str(bundle_dir),
            dicom_dir=str(tmp_path / "dicom"),
            dataset_dir=str(tmp_path / "data"),
            num_workers=0,
            **overrides,
        )
        workflow.initialize()
        workflow.run()

    with pytest.raises(Exception) as error:
        run(taget_ct="average")
    assert "target_ct" in f"{error.value}{error.value.__cause__}"
    run()
    assert (tmp_path / "data" / "A" / "label.nii.gz").is_file()
