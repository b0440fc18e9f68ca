"""Cost: what the agent wants, as energies of imagined states.

Terms add and scale: ``goal(image=frame) + 0.1 * effort()``.
"""

from forethought.cost.critic import (
    CriticConfig,
    Embedding,
    GridMetricDistanceConfig,
    LatentDistance,
    MetricDistanceConfig,
    QuasimetricDistanceConfig,
)
from forethought.cost.goal import Goal, goal
from forethought.cost.roadmap import RoadmapGoal, roadmap_goal
from forethought.cost.terms import Cost, CostTerm, Effort, FunctionTerm, Sight, effort, term

__all__ = [
    "Cost",
    "CostTerm",
    "CriticConfig",
    "Effort",
    "Embedding",
    "FunctionTerm",
    "Goal",
    "GridMetricDistanceConfig",
    "LatentDistance",
    "MetricDistanceConfig",
    "QuasimetricDistanceConfig",
    "RoadmapGoal",
    "Sight",
    "effort",
    "goal",
    "roadmap_goal",
    "term",
]
