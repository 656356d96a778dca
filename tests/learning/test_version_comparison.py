"""Two versions side by side."""

from pathlib import Path

from igtv.learning.model_version import ModelVersion
from igtv.learning.version_comparison import compare_versions


def version(number, dice, learned, settings):
    metrics = {"dice": 0.5, "cases": dice, "frozen_sha256": "f", "masks": {"threshold": number}}
    manifest = {"data": [{"case": case} for case in learned], "settings": settings}
    return ModelVersion(
        "igtv", number, Path(), {"name": f"m{number}"}, f"sha{number}", metrics, "refused", manifest, {}
    )


def test_what_both_have_and_what_differs():
    found = compare_versions(
        version(1, {"a": 0.4, "b": 0.6}, ["x", "y"], {"steps": 10, "seed": 0}),
        version(2, {"b": 0.7}, ["y", "z", "w"], {"steps": 20, "seed": 0, "rate": 0.1}),
    )
    assert found["versions"] == ["igtv v0001", "igtv v0002"] and found["names"] == ["m1", "m2"]
    assert found["cases"] == [{"case": "a", "dice": [0.4, None]}, {"case": "b", "dice": [0.6, 0.7]}]
    assert found["data"] == {"both": 1, "only_first": ["x"], "only_second": ["w", "z"]}
    assert found["settings"] == {"rate": [None, 0.1], "steps": [10, 20]}
    assert found["same_frozen_set"] and not found["same_masks"]


def test_settings_differ_from_settings_only():
    """A seed was not trained here: nothing of it is to be compared."""
    assert compare_versions(version(1, {}, [], {}), version(2, {}, [], {"steps": 20}))["settings"] == {}
