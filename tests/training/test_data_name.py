"""What the model card calls the data: the phantom only where the cases really are its own."""

import json

import pytest
from igtv.training.data_name import data_name


@pytest.fixture
def phantom_dir(tmp_path):
    """As `simulating` leaves it, as far as names go."""
    folder = tmp_path / "output" / "phantom_gtv"
    folder.mkdir(parents=True)
    (folder / "simulation.json").write_text(json.dumps({"task": "gtv", "seed": 0}))
    return folder


def case_in(folder):
    return {"case": "P1", "ct": str(folder / "P1" / "ct.nii.gz")}


def test_the_phantom_is_known_by_its_cases(phantom_dir, monkeypatch):
    assert data_name([case_in(phantom_dir)], phantom_dir, phantom_dir) == "phantom (gtv)"
    monkeypatch.chdir(phantom_dir.parent)
    assert data_name([case_in(phantom_dir)], "phantom_gtv", phantom_dir) == "phantom (gtv)"


def test_patients_are_never_called_phantoms(phantom_dir, tmp_path):
    """A folder of their own, absolute paths in a datalist, and lists of a server, which knows no folder."""
    clinic = tmp_path / "clinic"
    assert data_name([case_in(clinic)], clinic, phantom_dir) == "clinic"
    assert data_name([case_in(phantom_dir), case_in(clinic)], clinic, phantom_dir) == "clinic"
    assert data_name([case_in(clinic)], phantom_dir, phantom_dir) == "cases given by lists"
    (phantom_dir / "simulation.json").unlink()
    assert data_name([case_in(phantom_dir)], phantom_dir, phantom_dir) == "phantom_gtv"
