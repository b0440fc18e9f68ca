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
from forethought.cost.goal import Goal, GoalAmong, goal, goal_among
from forethought.cost.motion import (
    Effort,
    Smoothness,
    TimeUntil,
    effort,
    smoothness,
    time_until,
)
from forethought.cost.near import KeepNear, Leave, keep_near, leave
from forethought.cost.path import Follow, follow
from forethought.cost.probed import (
    KeepApart,
    ProbedGoal,
    QuantityTerm,
    keep_apart,
    probed_goal,
    quantity_term,
)
from forethought.cost.region import RegionGoal, region_goal
from forethought.cost.risk import Expected, Luckiest, OutcomeRisk, Tail, Worst
from forethought.cost.roadmap import RoadmapGoal, roadmap_goal
from forethought.cost.states import StateTerm
from forethought.cost.table import explain
from forethought.cost.terms import Cost, CostTerm, FunctionTerm, Sight, term
from forethought.cost.vain import InVain, avoid_vain

__all__ = [
    "Cost",
    "CostTerm",
    "CriticConfig",
    "Effort",
    "Embedding",
    "Expected",
    "Follow",
    "FunctionTerm",
    "Goal",
    "GoalAmong",
    "GridMetricDistanceConfig",
    "InVain",
    "KeepApart",
    "KeepNear",
    "LatentDistance",
    "Leave",
    "Luckiest",
    "MetricDistanceConfig",
    "OutcomeRisk",
    "ProbedGoal",
    "QuantityTerm",
    "QuasimetricDistanceConfig",
    "RegionGoal",
    "RoadmapGoal",
    "Sight",
    "Smoothness",
    "StateTerm",
    "Tail",
    "TimeUntil",
    "Worst",
    "avoid_vain",
    "effort",
    "explain",
    "follow",
    "goal",
    "goal_among",
    "keep_apart",
    "keep_near",
    "leave",
    "probed_goal",
    "quantity_term",
    "region_goal",
    "roadmap_goal",
    "smoothness",
    "term",
    "time_until",
]
