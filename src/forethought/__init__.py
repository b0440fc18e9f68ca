"""Forethought: agents that learn how their world works by watching it, and think before they act.

Importing this package is cheap: what needs PyTorch is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forethought import (
        actor,
        checkers,
        configurator,
        cost,
        data,
        evaluation,
        learning,
        perception,
        recipes,
        traces,
        types,
        world_model,
        worlds,
    )
    from forethought.agent import Agent, ReuseConfig
    from forethought.evaluation import evaluate, predict
    from forethought.model import Model
    from forethought.recipes import train
    from forethought.safety import SafetyConfig
    from forethought.types import ForethoughtError
    from forethought.world_model.fast import FastConfig

__version__ = "0.1.0"

_modules = (
    "actor",
    "checkers",
    "configurator",
    "cost",
    "data",
    "evaluation",
    "learning",
    "perception",
    "recipes",
    "traces",
    "types",
    "world_model",
    "worlds",
)
_names = {
    "Agent": "agent",
    "FastConfig": "world_model.fast",
    "ForethoughtError": "types",
    "Model": "model",
    "ReuseConfig": "agent",
    "SafetyConfig": "safety",
    "evaluate": "evaluation",
    "predict": "evaluation",
    "train": "recipes",
}

__all__ = [
    "Agent",
    "FastConfig",
    "ForethoughtError",
    "Model",
    "ReuseConfig",
    "SafetyConfig",
    "__version__",
    "actor",
    "checkers",
    "configurator",
    "cost",
    "data",
    "evaluate",
    "evaluation",
    "learning",
    "perception",
    "predict",
    "recipes",
    "traces",
    "train",
    "types",
    "world_model",
    "worlds",
]


def __getattr__(name: str) -> Any:
    if name in _modules:
        return importlib.import_module(f"forethought.{name}")
    if name in _names:
        return getattr(importlib.import_module(f"forethought.{_names[name]}"), name)
    raise AttributeError(f"module 'forethought' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
