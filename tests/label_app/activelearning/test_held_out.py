"""Patients of the frozen validation set are given out last, with a word about it."""

import json
import os

import nibabel as nib
import numpy as np
import pytest
from igtv.learning.frozen_set import FROZEN_FILE, make_frozen_set
from lib.activelearning.next_case import HELD_OUT_NOTE
from lib.learning.held_out import HeldOut


def ask(app, strategy="first", who="anna"):
    return app.strategies[strategy]({"strategy": strategy, "client_id": who}, app.store)


@pytest.fixture
def freeze(app, tmp_path):
    """`freeze(*cases)`: a frozen set of cases (name, patient)."""

    def make(*cases):
        made = []
        for number, (case, patient) in enumerate(cases):
            folder = tmp_path / "frozen_images" / case
            folder.mkdir(parents=True)
            paths = {key: str(folder / f"{key}.nii.gz") for key in ("ct", "pet", "label")}
            values = np.arange(27).reshape(3, 3, 3) + number
            for path in paths.values():
                nib.save(nib.Nifti1Image((values > 13).astype(np.uint8), np.eye(4)), path)
            made.append({"case": case, "patient": patient, **paths})
        app.folders.learning.mkdir(exist_ok=True)
        return make_frozen_set(app.folders.learning / "frozen", made)

    return make


@pytest.mark.parametrize("strategy", ["first", "random", "uncertainty", "foreground_random", "diverse"])
def test_they_come_last(app, freeze, strategy):
    """The patient of b and c is frozen, of which b was the scan that is in the set."""
    app.store.patients = {"b": "P1", "c": "P1"}
    app.scoring({}, app.store)
    freeze(("b", "P1"))
    answers = [ask(app, strategy) for _ in range(6)]
    assert {answer["id"] for answer in answers[:4]} == {"a", "d", "e", "f"}
    assert not any("frozen" in answer.get("note", "") for answer in answers[:4])
    assert answers[4]["id"] in ("a", "d", "e", "f") and "given to you before" in answers[4]["note"]
    app.store.labelled = {"a", "d", "e", "f"}
    last = [ask(app, strategy) for _ in range(3)]
    assert {answer["id"] for answer in last[:2]} == {"b", "c"}
    assert all(answer["note"] == HELD_OUT_NOTE for answer in last) and last[2]["id"] in ("b", "c")
    assert ask(app, strategy, "ben") is None


def test_a_patient_told_later_is_held_out_too(app, freeze):
    freeze(("b", "b"))
    app.store.patients = {"b": "P1", "d": "P1"}
    assert HeldOut(app.folders.learning / "frozen").among(list("abcdef"), app.store) == {"b", "d"}


def test_the_set_that_will_be_made_counts_already(app, tmp_path, freeze):
    item = {key: f"P9/{key}.nii.gz" for key in ("ct", "pet", "label")} | {"patient_id": "P9"}
    given = tmp_path / "held_out.json"
    given.write_text(json.dumps({"validation": [item]}))
    app.store.patients = {"a": "P9"}
    held_out = HeldOut(app.folders.learning / "frozen", str(given))
    assert held_out.among(list("abc"), app.store) == {"a"}
    freeze(("b", "b"))  # the one that was made is the one that counts
    assert held_out.among(list("abc"), app.store) == {"b"}


def test_without_a_set_or_with_a_damaged_one_everything_is_given_out(app, freeze, tmp_path, caplog):
    held_out = HeldOut(app.folders.learning / "frozen", str(tmp_path / "missing.json"))
    assert held_out.among(list("abc"), app.store) == set()
    freeze(("b", "b"))
    path = app.folders.learning / "frozen" / FROZEN_FILE
    path.write_text("{")
    os.utime(path, (1, 1))
    assert held_out.among(list("abc"), app.store) == set() and "does not know the frozen" in caplog.text
