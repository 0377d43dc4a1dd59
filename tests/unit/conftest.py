"""Fixtures of the unit tests."""

import pytest
from fits_files import header, numbers, write


@pytest.fixture
def saved(tmp_path):
    def save(data=None, name="cube.fits", **cards):
        head = header(**cards)
        return write(tmp_path / name, numbers(head) if data is None else data, head)

    return save
