"""The actor: planners that search actions of low energy (Mode 2), what is done where none keeps
within the guardrails, the shield that checks the one action that leaves, and the gate that says
when a reflex (Mode 1) will do.

They are handed ``imagine`` and ``score`` and never see a model.
"""

from forethought.actor.beam_search import BeamSearch
from forethought.actor.categorical_cem import CategoricalCEM
from forethought.actor.cem import CEM
from forethought.actor.fallback import (
    Fallback,
    Hold,
    LeastViolation,
    Predicament,
    Retreat,
    Stop,
)
from forethought.actor.gate import Gate, GateConfig
from forethought.actor.gradient import Gradient
from forethought.actor.halving import Halving, Rung
from forethought.actor.hierarchical import Hierarchical
from forethought.actor.icem import ICEM
from forethought.actor.mixed import Mixed
from forethought.actor.mppi import MPPI
from forethought.actor.parallel_gradient import ParallelGradient
from forethought.actor.predictive_sampling import PredictiveSampling
from forethought.actor.projected_gradient import ProjectedGradient
from forethought.actor.proposals import PolicyProposals
from forethought.actor.screened import Screened
from forethought.actor.search import shift
from forethought.actor.shield import Shield, Verdict
from forethought.actor.sketched import Sketched

__all__ = [
    "CEM",
    "ICEM",
    "MPPI",
    "BeamSearch",
    "CategoricalCEM",
    "ParallelGradient",
    "Fallback",
    "Gate",
    "GateConfig",
    "Gradient",
    "Halving",
    "Hierarchical",
    "Hold",
    "LeastViolation",
    "Mixed",
    "PolicyProposals",
    "Predicament",
    "PredictiveSampling",
    "ProjectedGradient",
    "Retreat",
    "Rung",
    "Screened",
    "Shield",
    "Sketched",
    "Stop",
    "Verdict",
    "shift",
]
