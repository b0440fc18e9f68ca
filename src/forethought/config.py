"""Configurations on disk: frozen dataclasses to JSON and back, by the name of their class.

A configuration is a frozen, keyword-only dataclass beside the class that it builds. ``@register``
makes it known by name, so that a run's ``config.json`` says which encoder, predictor or critic it
holds, one's own included. Nothing here can name code that was not registered: reading a
configuration never imports or executes what a file says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from forethought.types import ForethoughtError

TYPE = "type"

_registry: dict[str, type] = {}

T = TypeVar("T", bound=type)


def register(cls: T) -> T:
    """Class decorator: makes a configuration dataclass readable from JSON by its class name.

    Raises:
        TypeError: the class is no frozen dataclass, or another class has taken its name.
    """
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise TypeError(f"{cls.__name__} must be a frozen dataclass to be registered")
    known = _registry.setdefault(cls.__name__, cls)
    if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
        raise TypeError(f"the configuration name {cls.__name__} is taken by {known.__module__}")
    _registry[cls.__name__] = cls
    return cast(T, cls)


def to_json(config: Any) -> Any:
    """A configuration as JSON types; each dataclass carries its class name under ``type``."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
        return {TYPE: type(config).__name__, **fields}
    if isinstance(config, Mapping):
        return {key: to_json(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [to_json(value) for value in config]
    if config is None or isinstance(config, bool | int | float | str):
        return config
    raise TypeError(f"a configuration cannot hold a {type(config).__name__}: {config!r}")


def from_json(content: Any, *, where: str = "config") -> Any:
    """The inverse of :func:`to_json`; lists come back as tuples.

    Args:
        content: JSON types.
        where: how error messages call this content.

    Raises:
        ForethoughtError: an unknown class or field, or a missing one; names the place.
    """
    if isinstance(content, Mapping) and TYPE in content:
        return _build(content, where)
    if isinstance(content, Mapping):
        return {key: from_json(value, where=f"{where}.{key}") for key, value in content.items()}
    if isinstance(content, list):
        return tuple(from_json(v, where=f"{where}[{i}]") for i, v in enumerate(content))
    return content


def _build(content: Mapping[str, Any], where: str) -> Any:
    name = content[TYPE]
    if name not in _registry:
        raise ForethoughtError(
            f"{where}: unknown configuration type {name!r}; known are {sorted(_registry)}. "
            "Import the module that registers it before loading, or check the spelling."
        )
    cls = _registry[name]
    fields = {key: value for key, value in content.items() if key != TYPE}
    known = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(fields) - known):
        raise ForethoughtError(
            f"{where}: {name} has no field {unknown[0]!r}; its fields are {sorted(known)}. "
            "The file may come from another version of the library."
        )
    try:
        return cls(**{k: from_json(v, where=f"{where}.{k}") for k, v in fields.items()})
    except TypeError as error:
        raise ForethoughtError(f"{where}: {name} cannot be built: {error}") from error
