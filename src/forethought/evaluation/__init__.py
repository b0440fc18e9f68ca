"""Evaluation: honest protocols, floors and ceilings, intervals, reports."""

from forethought.evaluation.attribution import Attribution, AttributionConfig, attribute
from forethought.evaluation.guarding import GuardingResults, Kept, evaluate_guardrails
from forethought.evaluation.planning import PlanningProtocol, PlanningResults, evaluate
from forethought.evaluation.prediction import PredictionProtocol, PredictionResults, predict
from forethought.evaluation.simulated import ReplacedAgent, Replacement
from forethought.evaluation.statistics import Estimate, auroc, bootstrap_mean, wilson

__all__ = [
    "Attribution",
    "AttributionConfig",
    "Estimate",
    "GuardingResults",
    "Kept",
    "PlanningProtocol",
    "PlanningResults",
    "PredictionProtocol",
    "PredictionResults",
    "ReplacedAgent",
    "Replacement",
    "attribute",
    "auroc",
    "bootstrap_mean",
    "evaluate",
    "evaluate_guardrails",
    "predict",
    "wilson",
]
