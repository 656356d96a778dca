"""Folders whose names are numbers."""

import sys

import pytest
from igtv.configuration.path_options import restore_paths, typed
from monai.bundle import ConfigParser


@pytest.fixture
def restored(monkeypatch):
    """`restored(settings, words)` -> what a running verb sees then, with these words on its command line."""

    def run(settings, *words):
        monkeypatch.setattr(sys, "argv", ["monai", "run", "importing", *words])
        parser = ConfigParser({**settings, "found": {key: f"@{key}" for key in settings}})
        parser.parse()
        restore_paths(parser)
        return parser.get_parsed_content("found")

    return run


@pytest.mark.parametrize(
    ("value", "words", "text"),
    [
        (2024, ["--dicom_dir", "2024"], "2024"),
        (202401, ["--dicom_dir", "2024_01"], "2024_01"),
        (202401, ["--dicom_dir=2024_01"], "2024_01"),
        (2024.1, ["--dicom-dir", "2024.10"], "2024.10"),
        (("a", 5), ["--dicom_dir", "a,5"], "a,5"),
        (7, ["--dicom_dir", "5", "--dicom_dir", "7"], "7"),
    ],
)
def test_what_was_typed_counts(restored, value, words, text):
    assert restored({"dicom_dir": value, "fold": 3}, *words) == {"dicom_dir": text, "fold": 3}


@pytest.mark.parametrize("name", ["dicom_dir", "datalist", "ct_path", "key_file", "mask", "reference_dicom", "compare"])
@pytest.mark.parametrize("value", [202401, 2024.1, True])
def test_a_number_that_nobody_typed_is_refused_by_name(restored, name, value):
    with pytest.raises(ValueError, match=rf"{name} is {value}, .* --{name} \./2024_01"):
        restored({name: value}, "--dataset_dir", "202401")


def test_other_options_and_paths_as_they_should_be_are_left_alone(restored, tmp_path):
    settings = {"dicom_dir": "./2024", "dataset_dir": tmp_path, "datalist": None, "aliases": {"GTV": ["a"]}, "roi": 5}
    assert restored(settings, "--roi", "5") == settings


def test_an_option_at_the_end_without_value_has_none():
    assert typed("dicom_dir", ["--dicom_dir"]) is None
    assert typed("dir", ["--dicom_dir", "x"]) is None
