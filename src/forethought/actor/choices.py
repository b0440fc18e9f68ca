"""What planners of discrete actions share."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.types import ActionSpace, ForethoughtError


def require_choices(space: ActionSpace, planner: str) -> None:
    """Refuses actions that are vectors.

    Raises:
        ForethoughtError: they are.
    """
    if not space.num_choices:
        raise ForethoughtError(
            f"{planner} chooses among discrete actions, but these are vectors of "
            f"{space.dim // space.block} numbers; use a planner for vectors, such as CEM."
        )


def as_actions(choices: Int[Tensor, "*batch s"], space: ActionSpace) -> Float[Tensor, "*batch a"]:
    """Model actions of a choice for each of their world actions."""
    return torch.nn.functional.one_hot(choices, space.num_choices).flatten(-2).to(space.low)
