"""Evaluation: honest protocols, floors and ceilings, intervals, reports."""

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
from forethought.evaluation.statistics import Estimate, auroc, bootstrap_mean, wilson
from forethought.evaluation.tasks import DrawnTasks, RecordedTasks, TasksAtDistance

__all__ = [
    "AnotherAgent",
    "Comparison",
    "Difference",
    "DrawnTasks",
    "Estimate",
    "GroundingResults",
    "Evaluation",
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
    "ShiftResults",
    "RandomActions",
    "RecordedTasks",
    "TasksAtDistance",
    "auroc",
    "between_runs",
    "bootstrap_mean",
    "compare",
    "evaluate",
    "evaluate_guardrails",
    "ground",
    "predict",
    "probe_latents",
    "sweep",
    "mcnemar",
    "read_evaluation",
    "resampled_comparisons",
    "stable_worldmodel",
    "wilson",
]
