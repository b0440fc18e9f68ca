"""Cost: what the agent wants, as energies of imagined states.

Terms add and scale: ``goal(image=frame) + 0.1 * effort()``.
"""

from forethought.cost.anticipated import Anticipated, FearLimit, anticipated, fear_limit
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
from forethought.cost.curiosity import Curiosity, curiosity
from forethought.cost.fear import Fear, FearConfig, fears_of, load_fear
from forethought.cost.goal import Goal, GoalAmong, goal, goal_among
from forethought.cost.goal_reader import GoalReader, GoalReaderConfig
from forethought.cost.guardrail import Guardrail, guardrail
from forethought.cost.likeness import Unlike
from forethought.cost.live import AdaptationConfig, CalibrationWarning, LiveBounds
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
from forethought.cost.sight import Bounds, Sight
from forethought.cost.states import StateTerm
from forethought.cost.table import explain
from forethought.cost.terms import Cost, CostTerm, FunctionTerm, term
from forethought.cost.vain import InVain, avoid_vain

__all__ = [
    "AdaptationConfig",
    "Anticipated",
    "Bounds",
    "Calibration",
    "CalibrationWarning",
    "Constraint",
    "Cost",
    "CostTerm",
    "Course",
    "Curiosity",
    "CriticConfig",
    "Effort",
    "Embedding",
    "Expected",
    "Fear",
    "FearConfig",
    "FearLimit",
    "Follow",
    "FunctionTerm",
    "Goal",
    "GoalAmong",
    "GoalReader",
    "GoalReaderConfig",
    "GridMetricDistanceConfig",
    "Guardrail",
    "InVain",
    "KeepApart",
    "KeepNear",
    "LatentDistance",
    "Leave",
    "LiveBounds",
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
    "Unlike",
    "Widening",
    "Worst",
    "anticipated",
    "apart",
    "avoid_vain",
    "conformal_quantile",
    "curiosity",
    "effort",
    "explain",
    "fear_limit",
    "fears_of",
    "follow",
    "goal",
    "goal_among",
    "guardrail",
    "keep_apart",
    "keep_away",
    "keep_near",
    "keep_out",
    "leave",
    "limit",
    "load_fear",
    "probed_goal",
    "quantity_term",
    "rate_limit",
    "region_goal",
    "roadmap_goal",
    "smoothness",
    "term",
    "time_until",
]
