"""Labels that say 'no tumour': learned from as negatives, measured as false positive volume, never part of a Dice."""

import hashlib
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from igtv.evaluation.tables import read_rows
from igtv.learning import frozen_set
from igtv.learning.candidate import with_false_positives
from igtv.learning.frozen_set import make_frozen_set, read_frozen_set
from igtv.learning.replay import LearningData, choose_cases, split_checked
from igtv.learning.retrain import NothingNew, _without_idle, run_cycle


@pytest.fixture(scope="module")
def without_tumour(cases, tmp_path_factory):
    """`without_tumour(case, said=True)`: the case with an empty label, of which somebody says that it means it."""
    folder = tmp_path_factory.mktemp("negatives")

    def make(case, said=True):
        image = nib.load(case["label"])
        path = folder / f"{case['case']}.nii.gz"
        nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path)
        return {**case, "label": str(path), **({"no_tumour": True} if said else {})}

    return make


@pytest.fixture(scope="module")
def mixed_frozen(cases, without_tumour, tmp_path_factory):
    """A frozen set of a patient with tumour and one without."""
    return make_frozen_set(tmp_path_factory.mktemp("mixed") / "frozen", [cases[0], without_tumour(cases[1])])


def test_an_empty_label_counts_where_somebody_said_so_and_is_left_out_else(
    registry, weak_model, cases, frozen, without_tumour
):
    given = [without_tumour(cases[2]), without_tumour(cases[3]), without_tumour(cases[4], said=False)]
    data = choose_cases(given, frozen, registry.versions(), registry.current())
    assert [(case["case"], case["role"], case["no_tumour"]) for case in data.cases] == [
        (case["case"], "new", True) for case in cases[2:4]
    ]
    assert data.cases[0]["label_sha256"] != data.cases[1]["label_sha256"]  # two patients, though one empty mask
    assert "nobody said" in data.left_out[cases[4]["case"]]
    learned = [{key: case[key] for key in ("case", "patient", "label_sha256")} for case in data.cases[:1]]
    registry.accept(registry.add(weak_model, {"parent": 1, "data": learned}), {"reasons": []})
    again = choose_cases([*given[:2], cases[2] | {"case": "now_with"}], frozen, registry.versions(), registry.current())
    assert [case["role"] for case in again.cases] == ["new", "new", "replay"]


def test_negatives_never_choose_an_epoch():
    cases = [{"case": f"c{index}", "patient": f"p{index}", "no_tumour": index >= 5} for index in range(20)]
    learning, checked = split_checked(cases, seed=0)
    assert len(checked) == 1 and not checked[0]["no_tumour"] and len(learning) == 19
    assert split_checked(cases[1:], seed=0)[1] == []  # four patients with tumour: all are needed


def test_negatives_of_a_checked_patient_are_in_neither_part():
    """Dice says nothing on them, and learning from them would be learning from a patient that is checked."""
    cases = [{"case": f"c{index}", "patient": f"p{index % 10}", "no_tumour": index >= 10} for index in range(20)]
    learning, checked = split_checked(cases, seed=0)
    patients = {case["patient"] for case in checked}
    assert len(checked) == len(patients) == 2 and not any(case["no_tumour"] for case in checked)
    assert len(learning) == 16 and not patients & {case["patient"] for case in learning}
    data = _without_idle(LearningData(cases, {"x": "frozen"}), [*learning, *checked])
    assert len(data.cases) == 18 and "x" in data.left_out
    idle = [f"c{10 + int(patient[1:])}" for patient in patients]
    assert all("only chooses the best epoch" in data.left_out[case] for case in idle)


def test_nothing_is_learned_from_negatives_alone(registry, cases, frozen, tiny_settings, without_tumour, tmp_path):
    given = [without_tumour(case) for case in cases[2:4]]
    with pytest.raises(NothingNew, match="all 2 labels to learn from say that there is no tumour"):
        run_cycle(registry, given, frozen, tmp_path / "work", tiny_settings())


def test_frozen_set_knows_who_has_none(mixed_frozen, cases, without_tumour, tmp_path):
    frozen = read_frozen_set(mixed_frozen.folder)
    assert frozen.without_tumour == {cases[1]["case"]} and len(frozen.patients) == 2
    assert frozen.leak(without_tumour(cases[1])) and frozen.leak(cases[2]) is None
    for chosen, words in (
        ([without_tumour(cases[1])], "at least one labelled case with tumour"),
        ([cases[0], without_tumour(cases[1], said=False)], "nobody said that there is no tumour"),
        ([cases[0], cases[1] | {"no_tumour": True}], "is not empty"),
    ):
        with pytest.raises(ValueError, match=words):
            make_frozen_set(tmp_path / "frozen", chosen)


def test_who_has_none_is_part_of_the_frozen_sets_hash(mixed_frozen, frozen, tmp_path):
    plain = sorted(f"{entry['case']} {entry['patient']} {sorted(entry['files'].items())}" for entry in frozen.entries)
    assert frozen.sha256 == hashlib.sha256("\n".join(plain).encode()).hexdigest()  # as it was before there were others
    shutil.copytree(mixed_frozen.folder, tmp_path / "frozen")
    path = tmp_path / "frozen" / "frozen_set.json"
    content = json.loads(path.read_text())
    for entry in content["cases"]:
        entry.pop("no_tumour", None)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="was changed after it was made"):
        read_frozen_set(tmp_path / "frozen")
    path.write_text(json.dumps({**content, "sha256": frozen_set._digest(content["cases"])}))
    with pytest.raises(ValueError, match="is not what its label says"):
        read_frozen_set(tmp_path / "frozen")


def test_a_cycle_learns_from_them_and_reports_false_positives(
    registry, cases, mixed_frozen, tiny_settings, without_tumour, tmp_path
):
    given = [cases[2], without_tumour(cases[3])]
    settings = tiny_settings(finetuning={**tiny_settings().finetuning, "epochs": 1})
    version = run_cycle(registry, given, mixed_frozen, tmp_path / "work", settings)
    assert [(entry["case"], entry.get("no_tumour", False)) for entry in version.data] == [
        (cases[2]["case"], False),
        (cases[3]["case"], True),
    ]
    with_tumour, without = cases[0]["case"], cases[1]["case"]
    assert set(version.metrics["cases"]) == {with_tumour}
    assert version.metrics["dice"] == version.metrics["cases"][with_tumour]
    rows = {row["case"]: row for row in read_rows(version.report_dir)}
    assert np.isnan(rows[without]["dice"]) and rows[without]["excess_ml"] == rows[without]["volume_prediction_ml"]
    report = json.loads((version.report_dir / "gate.json").read_text())
    assert [row["case"] for row in report["cases"]] == [with_tumour]
    assert report["false_positive_ml"]["candidate"] == pytest.approx(rows[without]["volume_prediction_ml"])
    assert "1 case(s) without tumour" in report["reasons"][-1]


def test_false_positives_are_told_and_decide_nothing():
    report = {"accepted": True, "reasons": ["better"]}
    told = with_false_positives(report, {"a": 0.0, "b": 1.5}, {"a": 12.0, "b": 0.5})
    assert told["accepted"] and told["reasons"] == [
        "better",
        "2 case(s) without tumour: 12.5 ml predicted, 1.5 ml by the current model (not part of the rule)",
    ]
    assert told["false_positive_ml"]["cases"][0] == {"case": "a", "current": 0.0, "candidate": 12.0}
