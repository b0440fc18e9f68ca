"""Cost: what the agent wants, as energies of imagined states.

Terms add and scale: ``goal(image=frame) + 0.1 * effort()``.
"""

from forethought.cost.calibration import Calibration, Widening, conformal_quantile
from forethought.cost.constraints import (
    Constraint,
    apart,
    keep_away,
    keep_out,
    limit,
    rate_limit,
)
from forethought.cost.course import Course
from forethought.cost.critic import (
    CriticConfig,
    Embedding,
    GridMetricDistanceConfig,
    LatentDistance,
    MetricDistanceConfig,
    QuasimetricDistanceConfig,
)
from forethought.cost.goal import Goal, goal
from forethought.cost.guardrail import Guardrail, guardrail
from forethought.cost.likeness import Unlike
from forethought.cost.live import AdaptationConfig, CalibrationWarning, LiveBounds
from forethought.cost.probed import KeepApart, ProbedGoal, keep_apart, probed_goal
from forethought.cost.risk import Expected, Luckiest, OutcomeRisk, Tail, Worst
from forethought.cost.roadmap import RoadmapGoal, roadmap_goal
from forethought.cost.sight import Bounds, Sight
from forethought.cost.terms import Cost, CostTerm, Effort, FunctionTerm, effort, term
from forethought.cost.vain import InVain, avoid_vain

__all__ = [
    "AdaptationConfig",
    "Bounds",
    "Calibration",
    "CalibrationWarning",
    "Constraint",
    "Cost",
    "CostTerm",
    "Course",
    "CriticConfig",
    "Effort",
    "Embedding",
    "Expected",
    "FunctionTerm",
    "Goal",
    "GridMetricDistanceConfig",
    "Guardrail",
    "InVain",
    "KeepApart",
    "LatentDistance",
    "LiveBounds",
    "Luckiest",
    "MetricDistanceConfig",
    "OutcomeRisk",
    "ProbedGoal",
    "QuasimetricDistanceConfig",
    "RoadmapGoal",
    "Sight",
    "Tail",
    "Unlike",
    "Widening",
    "Worst",
    "apart",
    "avoid_vain",
    "conformal_quantile",
    "effort",
    "goal",
    "guardrail",
    "keep_apart",
    "keep_away",
    "keep_out",
    "limit",
    "probed_goal",
    "rate_limit",
    "roadmap_goal",
    "term",
]
