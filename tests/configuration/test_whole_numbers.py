"""Settings that count: what passes, and that what does not is named."""

import numpy as np
import pytest
from igtv.configuration.whole_numbers import whole_number


@pytest.mark.parametrize("value", [2, 7, np.int64(3)])
def test_whole_numbers_from_the_lowest_pass_as_int(value):
    assert whole_number("num_folds", value, 2) == value and type(whole_number("num_folds", value, 2)) is int


@pytest.mark.parametrize("value", [1, 2.0, "3", None, True, np.bool_(True), [2]])
def test_anything_else_is_refused_by_name(value):
    with pytest.raises(ValueError, match="num_folds is .*: a whole number from 2 is needed"):
        whole_number("num_folds", value, 2)
