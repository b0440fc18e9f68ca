"""What the parts of a task file are made of: mappings whose keys are known, numbers, names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator
from pydantic_core import PydanticCustomError


def _with_exponent(value: Any) -> Any:
    """YAML 1.1 takes 1e-3 for text, since it has no point."""
    try:
        return float(value) if isinstance(value, str) and "e" in value.lower() else value
    except ValueError:
        return value


Number = Annotated[float, Field(strict=True, allow_inf_nan=False), BeforeValidator(_with_exponent)]
Count = Annotated[PositiveInt, Field(strict=True)]
Share = Annotated[Number, Field(gt=0, le=1)]
Name = Annotated[str, Field(strict=True, min_length=1)]
Ends = Annotated[list[Number | None], Field(min_length=2, max_length=2)]
"""Least and largest; null where there is none."""


def hint(name: str, known: Iterable[str]) -> str:
    """The closest of the known names, as a question; empty where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def wrong(message: str, *at: int | str) -> PydanticCustomError:
    """An error in the words of its message, at a place within the part that is validated."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "at": at})


class Part(BaseModel):
    """A mapping of the task file whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, content: Any) -> Any:
        if isinstance(content, dict):
            cls.refuse(content)
        return content

    @classmethod
    def refuse(cls, content: Mapping[Any, Any]) -> None:
        """Refuses what it cannot have, before its values are looked at."""
        known = cls.keys()
        for key in content:
            if key not in known:
                said = f"found the unknown key {key!r}, expected {', '.join(known)}."
                raise wrong(said + hint(str(key), known), key)

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The keys that it may have."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())


class Choice(Part):
    """A mapping that says one of several things, and perhaps something besides."""

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """The keys of which there must be one."""
        return cls.keys()

    @classmethod
    def refuse(cls, content: Mapping[Any, Any]) -> None:
        """See :class:`Part`."""
        super().refuse(content)
        said = [key for key in cls.kinds() if content.get(key) is not None]
        if len(said) != 1:
            found = " and ".join(said) or "none of them"
            raise wrong(f"found {found}, expected exactly one of {', '.join(cls.kinds())}.")


class Nothing(Part):
    """There is nothing to say."""
