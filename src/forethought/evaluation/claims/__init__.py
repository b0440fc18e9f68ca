"""The claims of the architecture, each with the experiment that tests it and what came out."""

from forethought.evaluation.claims.catalogue import CLAIMS
from forethought.evaluation.claims.committed import cited, committed, measured_in
from forethought.evaluation.claims.weighing import (
    Claim,
    Experiment,
    Judged,
    Prediction,
    Span,
    Support,
    Verdict,
    Weighed,
    judge,
    pooled,
)

__all__ = [
    "CLAIMS",
    "Claim",
    "Experiment",
    "Judged",
    "Prediction",
    "Span",
    "Support",
    "Verdict",
    "Weighed",
    "cited",
    "committed",
    "judge",
    "measured_in",
    "pooled",
]
