"""Configurations survive the way to JSON and back; nothing unknown is built."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from forethought import recipes
from forethought.config import from_json, register, to_json
from forethought.types import ForethoughtError


def test_a_whole_run_survives_json(recorded) -> None:
    """What is read back equals what was written."""
    config = recipes.configure("two_rooms", recorded.signature)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_an_unknown_type_is_refused_by_name() -> None:
    """A file cannot name code that was not registered."""
    with pytest.raises(ForethoughtError, match=r"torch\.load"):
        from_json({"type": "torch.load", "f": "x"})


def test_an_unknown_field_is_refused_by_name() -> None:
    """The message names the field and the place."""
    with pytest.raises(ForethoughtError, match=r"config: SIGRegConfig has no field 'lambda'"):
        from_json({"type": "SIGRegConfig", "lambda": 1})


def test_a_name_is_registered_once() -> None:
    """Two classes cannot share a name."""

    @dataclass(frozen=True, kw_only=True)
    class CEMConfigOfATest:
        a: int = 1

    register(CEMConfigOfATest)
    other = dataclass(frozen=True, kw_only=True)(type("CEMConfigOfATest", (), {}))
    with pytest.raises(TypeError, match="taken"):
        register(other)
