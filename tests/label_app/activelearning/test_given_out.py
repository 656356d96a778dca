"""Nobody gets what somebody else has on the table."""

import pytest
from lib.activelearning.given_out import GivenOut


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def given(tmp_path, clock):
    return GivenOut(tmp_path / "given_out.json", lease_s=100, clock=lambda: clock[0])


def test_mine_and_the_others(given):
    given.give("a", "anna")
    given.give("b", "ben")
    assert given.with_others("anna", "abc") == {"b"}
    assert given.with_me("anna", "abc") == ["a"]
    assert given.with_others("cleo", "abc") == {"a", "b"}


def test_oldest_of_mine_first(given, clock):
    for case in "cab":
        given.give(case, "anna")
        clock[0] += 1
    assert given.with_me("anna", "abc") == ["c", "a", "b"]


def test_submitted_case_is_forgotten(given):
    given.give("a", "anna")
    given.forget("a")
    assert given.with_others("ben", "abc") == set() and given.with_me("anna", "abc") == []


def test_a_case_that_is_not_listed_for_a_moment_stays_with_its_annotator(given, clock):
    given.give("a", "anna")
    assert given.with_others("ben", "bc") == set() and given.with_me("anna", "bc") == []
    clock[0] += 50
    given.forget("bc")
    assert given.with_others("ben", "abc") == {"a"} and given.with_me("anna", "abc") == ["a"]


def test_case_comes_back_after_a_while(given, clock):
    given.give("a", "anna")
    clock[0] += 99
    assert given.with_others("ben", "a") == {"a"}
    clock[0] += 2
    assert given.with_others("ben", "a") == set()


def test_a_restart_forgets_nobody(given, tmp_path, clock):
    given.give("a", "anna")
    again = GivenOut(tmp_path / "given_out.json", lease_s=100, clock=lambda: clock[0])
    assert again.with_others("ben", "ab") == {"a"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 3}', '{"a": ["anna", "yesterday"]}'])
def test_a_damaged_file_counts_as_none(tmp_path, content):
    path = tmp_path / "given_out.json"
    path.write_text(content)
    assert GivenOut(path).with_others("ben", "a") == set()
