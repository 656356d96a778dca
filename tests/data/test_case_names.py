"""Names of cases: one rule for training, evaluation and inference."""

import pytest
from igtv.data.case_names import check_case_name


@pytest.mark.parametrize("name", ["P001", "STS_001_cycle2", "Fall 7", "a.b"])
def test_names_that_can_be_folders(name):
    assert check_case_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".A", "A ", "A.", "a/b", "a\\b", "A:1", "a\0", "a?", "x" * 151])
def test_names_that_cannot(name):
    with pytest.raises(ValueError, match="cannot name an output folder"):
        check_case_name(name)
