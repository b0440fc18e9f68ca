"""Evaluation: honest protocols, floors and ceilings, intervals, reports."""

from forethought.evaluation.grounding import GroundingResults, ground
from forethought.evaluation.guarding import GuardingResults, Kept, evaluate_guardrails
from forethought.evaluation.planning import PlanningProtocol, PlanningResults, evaluate
from forethought.evaluation.prediction import PredictionProtocol, PredictionResults, predict
from forethought.evaluation.probing import ProbingProtocol, ProbingResults, probe_latents
from forethought.evaluation.shifts import ShiftResults, sweep
from forethought.evaluation.statistics import Estimate, auroc, bootstrap_mean, wilson

__all__ = [
    "Estimate",
    "GroundingResults",
    "GuardingResults",
    "Kept",
    "PlanningProtocol",
    "PlanningResults",
    "PredictionProtocol",
    "PredictionResults",
    "ProbingProtocol",
    "ProbingResults",
    "ShiftResults",
    "auroc",
    "bootstrap_mean",
    "evaluate",
    "evaluate_guardrails",
    "ground",
    "predict",
    "probe_latents",
    "sweep",
    "wilson",
]
