"""Worlds that need what a machine may lack are skipped there, and say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from forethought import worlds
from forethought.types import ForethoughtError, World


@pytest.fixture
def make_world() -> Callable[[str, int], World]:
    """Makes a world by name; skips the test where MuJoCo is missing or cannot draw."""

    def make(name: str, num_worlds: int) -> World:
        try:
            return worlds.make(name, num_worlds)
        except ForethoughtError as error:
            if "MuJoCo" in str(error):
                pytest.skip(str(error))
            raise

    return make
