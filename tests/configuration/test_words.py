import pytest
from igtv.configuration.words import words


@pytest.mark.parametrize(
    ("given", "expected"),
    [("mask", ("mask",)), (["mask", "overlay"], ("mask", "overlay")), (("x",), ("x",)), ([], ()), (None, ())],
)
def test_one_word_is_a_list_of_one(given, expected):
    assert words(given) == expected
