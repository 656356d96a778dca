"""The stand-in for the datastore is as the datastore."""

from .conftest import Names


def test_stand_in_is_as_the_datastore(unlike_datastore):
    assert unlike_datastore(Names) == []
