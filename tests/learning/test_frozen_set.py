"""A frozen patient is known by id and by voxels, whatever its files are called; the set never changes."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from igtv.learning.frozen_set import choose_patients, make_frozen_set, read_frozen_set
from igtv.learning.work import do_work


def copy_of(original, folder, **changes):
    """The case's files under other names, compressed anew, so that no hash of a file is the same."""
    folder.mkdir()
    copied = {"case": "stranger", "patient": "stranger", **changes}
    for key in ("ct", "pet", "label"):
        path = folder / f"image_{key}.nii.gz"
        with gzip.open(original[key]) as source, gzip.open(path, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
        copied[key] = str(path)
    return copied


def test_the_patient_is_known_by_id(frozen, cases):
    other_case_of_same_patient = {**cases[3], "patient": cases[0]["patient"]}
    assert "is in the frozen validation set" in frozen.leak(other_case_of_same_patient)
    assert frozen.leak(cases[3]) is None


def test_the_patient_is_known_by_voxels_under_another_name(frozen, cases, tmp_path):
    stranger = copy_of(cases[0], tmp_path / "copy")
    assert f"its ct is that of {cases[0]['case']}" in frozen.leak(stranger)
    only_label = {**cases[3], "case": "mixed", "patient": "mixed", "label": stranger["label"]}
    assert "its label is that of" in frozen.leak(only_label)


def test_empty_labels_are_nobodys(frozen, cases, tmp_path):
    """All patients without tumour share one mask; that makes them no frozen patients."""
    image = nib.load(cases[3]["label"])
    path = tmp_path / "empty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path)
    assert frozen.leak({**cases[3], "label": str(path)}) is None
    with pytest.raises(ValueError, match="its label is empty"):
        make_frozen_set(tmp_path / "other", [{**cases[3], "label": str(path)}])
    assert not (tmp_path / "other").exists()


def test_training_on_a_frozen_patient_is_refused_where_it_would_happen(frozen, cases, tmp_path):
    """The process that trains looks for itself, whatever it was told."""
    stranger = copy_of(cases[1], tmp_path / "copy")
    for leaking in (stranger, cases[0]):
        finetuning = {"train#dataset#data": [cases[3], leaking], "validate#dataset#data": []}
        with pytest.raises(ValueError, match="nothing was trained: 1 case"):
            do_work({"frozen": str(frozen.folder), "finetuning": finetuning, "evaluations": []})
        swapped = {"train#dataset#data": [cases[3]], "validate#dataset#data": [leaking]}
        with pytest.raises(ValueError, match="must never be trained on"):
            do_work({"frozen": str(frozen.folder), "finetuning": swapped, "evaluations": []})


def test_it_is_made_once_and_changes_are_found(frozen, cases, tmp_path):
    folder = tmp_path / "frozen"
    made = make_frozen_set(folder, cases[:2], note="by hand")
    assert made.sha256 == frozen.sha256  # same content, same identity
    with pytest.raises(FileExistsError, match="made once"):
        make_frozen_set(folder, cases[2:4])
    label = folder / cases[0]["case"] / "label.nii.gz"
    shutil.copyfile(cases[2]["label"], label)
    with pytest.raises(ValueError, match="not the file that was frozen"):
        read_frozen_set(folder)
    shutil.copyfile(cases[0]["label"], label)
    assert read_frozen_set(folder).patients == {cases[0]["patient"], cases[1]["patient"]}
    content = json.loads((folder / "frozen_set.json").read_text())
    content["cases"].pop()
    (folder / "frozen_set.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="was changed after it was made"):
        read_frozen_set(folder)


def test_a_corrected_label_does_not_move_the_yardstick(cases, tmp_path):
    """The set holds copies."""
    mine = [copy_of(cases[0], tmp_path / "mine", case="p0", patient="p0")]
    made = make_frozen_set(tmp_path / "frozen", mine)
    shutil.copyfile(cases[1]["label"], mine[0]["label"])
    assert read_frozen_set(tmp_path / "frozen").sha256 == made.sha256


def test_choice_by_patient_seeded_and_leaving_enough():
    cases = [{"case": f"c{index}", "patient": f"p{index // 2}"} for index in range(20)]  # ten patients
    chosen = choose_patients(cases, share=0.3, minimum=2, seed=1)
    assert len(chosen) == 3
    assert choose_patients(cases[::-1], 0.3, 2, 1) == chosen
    with pytest.raises(ValueError, match="3 labelled patient"):
        choose_patients(cases[:6], 0.2, 2, 0)
    without = [{**case, "no_tumour": True} for case in cases]
    with pytest.raises(ValueError, match="0 labelled patient"):
        choose_patients(without, 0.2, 2, 0)
