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
from forethought.cost.probed import KeepApart, ProbedGoal, keep_apart, probed_goal
from forethought.cost.risk import Expected, Luckiest, OutcomeRisk, Tail, Worst
from forethought.cost.roadmap import RoadmapGoal, roadmap_goal
from forethought.cost.terms import Cost, CostTerm, Effort, FunctionTerm, Sight, effort, term
from forethought.cost.vain import InVain, avoid_vain

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
    "InVain",
    "KeepApart",
    "LatentDistance",
    "Luckiest",
    "MetricDistanceConfig",
    "OutcomeRisk",
    "ProbedGoal",
    "QuasimetricDistanceConfig",
    "RoadmapGoal",
    "Sight",
    "Tail",
    "Worst",
    "avoid_vain",
    "effort",
    "goal",
    "keep_apart",
    "probed_goal",
    "roadmap_goal",
    "term",
]
