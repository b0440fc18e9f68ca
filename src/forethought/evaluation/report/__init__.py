"""Reports: one self-contained HTML file for each thing that was measured."""

from forethought.evaluation.report.decision import decision_picture
from forethought.evaluation.report.distances import distance_rows
from forethought.evaluation.report.prediction_report import predict_report, prediction_rows
from forethought.evaluation.report.reports import (
    demo_report,
    evaluate_report,
    outcome_rows,
    train_report,
)
from forethought.evaluation.report.review import review

__all__ = [
    "decision_picture",
    "demo_report",
    "distance_rows",
    "evaluate_report",
    "outcome_rows",
    "predict_report",
    "prediction_rows",
    "review",
    "train_report",
]
