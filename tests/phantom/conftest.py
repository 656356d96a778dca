"""Coarse settings: a case in a fraction of a second."""

import pytest

SMALL = {"image_size": (56, 42, 24), "spacing_mm": (6.0, 6.0, 5.0), "pet_spacing_mm": (6.0, 6.0, 5.0)}


@pytest.fixture(scope="session")
def small():
    return dict(SMALL)
