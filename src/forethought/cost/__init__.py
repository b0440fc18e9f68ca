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
from forethought.cost.risk import Expected, Luckiest, OutcomeRisk, Tail, Worst
from forethought.cost.roadmap import RoadmapGoal, roadmap_goal
from forethought.cost.terms import Cost, CostTerm, Effort, FunctionTerm, Sight, effort, term

__all__ = [
    "Cost",
    "CostTerm",
    "CriticConfig",
    "Effort",
    "Embedding",
    "Expected",
    "FunctionTerm",
    "Goal",
    "GridMetricDistanceConfig",
    "LatentDistance",
    "Luckiest",
    "MetricDistanceConfig",
    "OutcomeRisk",
    "QuasimetricDistanceConfig",
    "RoadmapGoal",
    "Sight",
    "Tail",
    "Worst",
    "effort",
    "goal",
    "roadmap_goal",
    "term",
]
