"""Cost: what the agent wants, as energies of imagined states.

Terms add and scale: ``goal(image=frame) + 0.1 * effort()``.
"""

from forethought.cost.anticipated import Anticipated, FearLimit, anticipated, fear_limit
from forethought.cost.critic import (
    CriticConfig,
    Embedding,
    GridMetricDistanceConfig,
    LatentDistance,
    MetricDistanceConfig,
    QuasimetricDistanceConfig,
)
from forethought.cost.fear import Fear, FearConfig, fears_of, load_fear
from forethought.cost.goal import Goal, goal
from forethought.cost.probed import KeepApart, ProbedGoal, keep_apart, probed_goal
from forethought.cost.risk import Expected, Luckiest, OutcomeRisk, Tail, Worst
from forethought.cost.roadmap import RoadmapGoal, roadmap_goal
from forethought.cost.terms import Cost, CostTerm, Effort, FunctionTerm, Sight, effort, term
from forethought.cost.vain import InVain, avoid_vain

__all__ = [
    "Anticipated",
    "Cost",
    "CostTerm",
    "CriticConfig",
    "Effort",
    "Embedding",
    "Expected",
    "Fear",
    "FearConfig",
    "FearLimit",
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
    "anticipated",
    "avoid_vain",
    "effort",
    "fear_limit",
    "fears_of",
    "goal",
    "keep_apart",
    "load_fear",
    "probed_goal",
    "roadmap_goal",
    "term",
]
