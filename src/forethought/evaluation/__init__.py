"""Evaluation: honest protocols, floors and ceilings, intervals, reports."""

from forethought.evaluation.planning import PlanningProtocol, PlanningResults, evaluate
from forethought.evaluation.prediction import PredictionProtocol, PredictionResults, predict
from forethought.evaluation.statistics import Estimate, auroc, bootstrap_mean, wilson

__all__ = [
    "Estimate",
    "PlanningProtocol",
    "PlanningResults",
    "PredictionProtocol",
    "PredictionResults",
    "auroc",
    "bootstrap_mean",
    "evaluate",
    "predict",
    "wilson",
]
