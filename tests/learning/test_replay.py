"""What a cycle learns from: new labels, earlier ones again, never a frozen patient."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from igtv.learning.case_identity import voxel_sha256
from igtv.learning.replay import choose_cases, split_checked


def entries(cases):
    return [
        {"case": case["case"], "patient": case["patient"], "label_sha256": voxel_sha256(case["label"])}
        for case in cases
    ]


@pytest.fixture
def learned(registry, weak_model, cases):
    """The current version has learned from case 2."""
    registry.accept(registry.add(weak_model, {"parent": 1, "data": entries(cases[2:3])}), {"reasons": []})
    return registry


def roles(data):
    return {case["case"]: case["role"] for case in data.cases}


def choose(registry, cases, frozen, **settings):
    return choose_cases(cases, frozen, registry.versions(), registry.current(), **settings)


def test_new_and_earlier_ones_and_no_frozen_patient(learned, cases, frozen):
    data = choose(learned, cases, frozen)
    names = [case["case"] for case in cases]
    assert roles(data) == {names[2]: "replay", names[3]: "new", names[4]: "new"}
    assert set(data.left_out) == set(names[:2])
    assert all("frozen validation set" in reason for reason in data.left_out.values())


def test_a_corrected_label_is_new(learned, cases, frozen, tmp_path):
    image = nib.load(cases[2]["label"])
    mask = np.asarray(image.dataobj).copy()
    mask[tuple(np.argwhere(mask)[0])] = 0
    nib.save(nib.Nifti1Image(mask, image.affine), tmp_path / "corrected.nii.gz")
    corrected = {**cases[2], "label": str(tmp_path / "corrected.nii.gz")}
    assert roles(choose(learned, [corrected], frozen)) == {cases[2]["case"]: "new"}


def test_what_a_refused_or_rolled_back_version_learned_is_still_new(learned, weak_model, cases, frozen):
    version = learned.add(weak_model, {"parent": 2, "data": entries(cases[2:4])})
    learned.refuse(version, {"reasons": []})
    assert roles(choose(learned, cases, frozen))[cases[3]["case"]] == "new"
    learned.rollback(1)
    assert roles(choose(learned, cases, frozen))[cases[2]["case"]] == "new"


def test_replay_takes_the_least_used(registry, weak_model, cases, frozen):
    for used in (cases[2:4], cases[2:5]):  # case 4 was used once, the others twice
        parent = registry.current().number
        registry.accept(registry.add(weak_model, {"parent": parent, "data": entries(used)}), {"reasons": []})
    data = choose(registry, cases, frozen, replay_cases=1)
    assert roles(data) == {cases[4]["case"]: "replay"}
    assert "not among the 1 replayed" in data.left_out[cases[2]["case"]]


def test_pretraining_cases_are_mixed_in_but_not_twice(learned, cases, frozen):
    data = choose(learned, cases[2:4], frozen, pretraining=cases, pretraining_cases=3)
    assert roles(data) == {cases[2]["case"]: "replay", cases[3]["case"]: "new", cases[4]["case"]: "pretraining"}


def test_no_tumour_and_unreadable_labels_are_left_out_with_the_reason(registry, cases, frozen, tmp_path):
    image = nib.load(cases[2]["label"])
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), tmp_path / "none.nii.gz")
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    shutil.copyfile(cases[3]["ct"], tmp_path / "ct.nii.gz")
    given = [
        {**cases[2], "label": str(tmp_path / "none.nii.gz")},
        {**cases[3], "label": str(tmp_path / "broken.nii.gz")},
    ]
    data = choose(registry, given, frozen)
    assert data.cases == []
    assert "no tumour" in data.left_out[cases[2]["case"]] and "cannot be read" in data.left_out[cases[3]["case"]]


@pytest.mark.parametrize("key", ["ct", "pet", "label"])
def test_a_file_that_was_cut_off_costs_its_case_alone(key, registry, cases, frozen, tmp_path):
    """By a copy that ended early, or that holds no packed data after the head of the file."""
    whole = Path(cases[2][key]).read_bytes()
    for name, content in (("short", whole[: len(whole) // 2]), ("spoilt", whole[:10] + b"\xff" * (len(whole) - 10))):
        path = tmp_path / f"{name}.nii.gz"
        path.write_bytes(content)
        data = choose(registry, [{**cases[2], key: str(path)}, cases[3]], frozen)
        assert roles(data) == {cases[3]["case"]: "new"}
        assert data.left_out[cases[2]["case"]].startswith("it cannot be read: ")


def test_the_reason_names_the_file_that_was_cut_off(registry, cases, frozen, tmp_path):
    (tmp_path / "short.nii.gz").write_bytes(Path(cases[2]["label"]).read_bytes()[:-20])
    data = choose(registry, [{**cases[2], "label": str(tmp_path / "short.nii.gz")}], frozen)
    assert "short.nii.gz: Compressed file ended" in data.left_out[cases[2]["case"]]


def test_what_only_chose_the_best_epoch_is_still_new(learned, weak_model, cases, frozen):
    """Also to a version whose manifest has such cases in both lists, as those made before did."""
    manifest = {"parent": 2, "data": entries(cases[2:3]), "checked_on": entries(cases[3:4])}
    learned.accept(learned.add(weak_model, manifest), {"reasons": []})
    names = [case["case"] for case in cases]
    expected = {names[2]: "replay", names[3]: "new", names[4]: "new"}
    assert roles(choose(learned, cases, frozen)) == expected
    older = {"parent": 3, "data": entries(cases[2:4]), "checked_on": [names[3]]}
    version = learned.accept(learned.add(weak_model, older), {"reasons": []})
    assert [entry["case"] for entry in version.data] == [names[2]]
    assert roles(choose(learned, cases, frozen)) == expected


def test_the_best_epoch_is_chosen_on_other_patients_than_those_learned_from():
    cases = [{"case": f"c{index}", "patient": f"p{index // 2}"} for index in range(20)]
    learning, checked = split_checked(cases, seed=3)
    patients = [{case["patient"] for case in part} for part in (learning, checked)]
    assert not patients[0] & patients[1] and len(patients[1]) == 2
    assert split_checked(cases[:8], seed=3) == (cases[:8], [])  # four patients: all are needed


def test_a_new_label_is_learned_from_where_there_are_earlier_ones_to_check_on():
    """Nine patients that versions have learned from, and one whose label was just drawn: it never only checks."""
    cases = [{"case": f"c{index}", "patient": f"p{index}", "role": "replay"} for index in range(9)]
    cases.append({"case": "new", "patient": "new", "role": "new"})
    for seed in range(20):
        learning, checked = split_checked(cases, seed)
        assert len(checked) == 2 and "new" in {case["case"] for case in learning}
    drawn = {case["case"] for seed in range(20) for case in split_checked(cases, seed)[1]}
    assert len(drawn) == 9  # others in other cycles


@pytest.mark.parametrize("role", ["new", "replay"])
def test_cases_of_the_pretraining_never_choose_the_best_epoch(role):
    """Nor do they count: of eight other patients one is checked, of four none, however many are mixed in."""
    own = [{"case": f"c{index}", "patient": f"p{index}", "role": role} for index in range(8)]
    mixed_in = [{"case": f"m{index}", "patient": f"m{index}", "role": "pretraining"} for index in range(40)]
    both = {"case": "other scan", "patient": "p0", "role": "pretraining"}
    for seed in range(200):
        learning, checked = split_checked([*own, *mixed_in, both], seed)
        assert len(checked) == 1 and checked[0]["role"] == role and checked[0]["patient"] != "p0"
        assert len(learning) == 48
        assert split_checked([*own[:4], *mixed_in], seed)[1] == []
