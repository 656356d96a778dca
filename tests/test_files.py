"""Files that appear whole, with the permissions `open` would have given them."""

import json
import os
import threading

import numpy as np
import pytest
from igtv.files import free_path, replacing, write_json

REPLACE = os.replace


def test_permissions_are_those_of_open_and_the_umask_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "plain").write_text("")
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask belongs to all threads"))

    def write(name):
        with replacing(tmp_path / name) as path:
            path.write_text(name)

    threads = [threading.Thread(target=write, args=(f"{index}.nii.gz",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5 and len({file.stat().st_mode for file in files}) == 1


def test_a_secret_is_private_before_it_appears_and_leaves_nothing_after_an_error(tmp_path, monkeypatch):
    modes = []

    def replace(source, target):
        modes.append(os.stat(source).st_mode & 0o777)
        REPLACE(source, target)

    monkeypatch.setattr(os, "replace", replace)
    (tmp_path / "key.json").write_text("old")  # readable by others
    with replacing(tmp_path / "key.json", mode=0o600) as path:
        path.write_text("secret")
    assert modes == [0o600] and (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "key.json", mode=0o600) as path:
        path.write_text("newer")
    assert [one.name for one in tmp_path.iterdir()] == ["key.json"]


def test_json_holds_numbers_of_all_kinds_and_no_value_that_json_does_not_know(tmp_path):
    content = {1: np.float32(0.5), "nan": float("nan"), "table": np.array([[1.0, np.inf]]), "text": ("a", None, True)}
    path = write_json(tmp_path / "new" / "content.json", content)
    assert json.loads(path.read_text()) == {"1": 0.5, "nan": None, "table": [[1.0, None]], "text": ["a", None, True]}


def test_what_json_cannot_hold_leaves_the_file_as_it_was(tmp_path):
    path = write_json(tmp_path / "content.json", {"a": 1})
    with pytest.raises(TypeError, match="PosixPath"):
        write_json(path, {"a": tmp_path})
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]


def test_a_free_path_has_the_lowest_number_that_is_left(tmp_path):
    wanted = tmp_path / "pred_corrected.nii.gz"
    found = []
    for _ in range(3):
        found.append(free_path(wanted, ".nii.gz"))
        found[-1].touch()
    assert [path.name for path in found] == [
        "pred_corrected.nii.gz", "pred_corrected_2.nii.gz", "pred_corrected_3.nii.gz",
    ]  # fmt: skip
    (tmp_path / "previous").mkdir()
    assert free_path(tmp_path / "previous").name == "previous_2"
