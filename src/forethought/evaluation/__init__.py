"""Evaluation: honest protocols, floors and ceilings, intervals, reports."""

from forethought.evaluation.attribution import Attribution, AttributionConfig, attribute
from forethought.evaluation.comparison import Comparison, Evaluation, compare, read_evaluation
from forethought.evaluation.grounding import GroundingResults, ground
from forethought.evaluation.guarding import GuardingResults, Kept, evaluate_guardrails
from forethought.evaluation.planning import (
    PlanningProtocol,
    PlanningResults,
    evaluate,
    stable_worldmodel,
)
from forethought.evaluation.prediction import PredictionProtocol, PredictionResults, predict
from forethought.evaluation.probing import ProbingProtocol, ProbingResults, probe_latents
from forethought.evaluation.references import AnotherAgent, HoldStill, Oracle, RandomActions
from forethought.evaluation.shifts import ShiftResults, sweep
from forethought.evaluation.significance import (
    Difference,
    between_runs,
    mcnemar,
    resampled_comparisons,
)
from forethought.evaluation.simulated import ReplacedAgent, Replacement
from forethought.evaluation.statistics import Estimate, auroc, bootstrap_mean, wilson
from forethought.evaluation.tasks import DrawnTasks, RecordedTasks, TasksAtDistance

__all__ = [
    "AnotherAgent",
    "Attribution",
    "AttributionConfig",
    "Comparison",
    "Difference",
    "DrawnTasks",
    "Estimate",
    "Evaluation",
    "GroundingResults",
    "GuardingResults",
    "HoldStill",
    "Kept",
    "Oracle",
    "PlanningProtocol",
    "PlanningResults",
    "PredictionProtocol",
    "PredictionResults",
    "ProbingProtocol",
    "ProbingResults",
    "RandomActions",
    "RecordedTasks",
    "ReplacedAgent",
    "Replacement",
    "ShiftResults",
    "TasksAtDistance",
    "attribute",
    "auroc",
    "between_runs",
    "bootstrap_mean",
    "compare",
    "evaluate",
    "evaluate_guardrails",
    "ground",
    "mcnemar",
    "predict",
    "probe_latents",
    "read_evaluation",
    "resampled_comparisons",
    "stable_worldmodel",
    "sweep",
    "wilson",
]
