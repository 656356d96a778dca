"""The key of a de-identified data set."""

import os

from igtv.dicom.deidentification.identities import identities

REPLACE = os.replace


def test_the_key_is_the_owners_alone_from_the_first_moment(tmp_path, monkeypatch):
    """When it gets its name nobody else may read it, not only a moment later."""
    modes = []

    def replace(source, target):
        REPLACE(source, target)
        modes.append(os.stat(target).st_mode & 0o777)

    monkeypatch.setattr(os, "replace", replace)
    for patients in (["P1"], ["P1", "P2"]):
        assert set(identities(patients, tmp_path / "key.json", "case")) == set(patients)
    assert modes == [0o600, 0o600]
