"""Cost: what the agent wants, as energies of imagined states.

Terms add and scale: ``goal(image=frame) + 0.1 * effort()``.
"""

from forethought.cost.critic import (
    CriticConfig,
    LatentDistance,
    MetricDistanceConfig,
    QuasimetricDistanceConfig,
)
from forethought.cost.goal import Goal, goal
from forethought.cost.terms import Cost, CostTerm, Effort, FunctionTerm, Sight, effort, term

__all__ = [
    "Cost",
    "CostTerm",
    "CriticConfig",
    "Effort",
    "FunctionTerm",
    "Goal",
    "LatentDistance",
    "MetricDistanceConfig",
    "QuasimetricDistanceConfig",
    "Sight",
    "effort",
    "goal",
    "term",
]
