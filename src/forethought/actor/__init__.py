"""The actor: planners that search actions of low energy (Mode 2).

They are handed ``imagine`` and ``score`` and never see a model.
"""

from forethought.actor.cem import CEM
from forethought.actor.gradient import Gradient
from forethought.actor.hierarchical import Hierarchical
from forethought.actor.icem import ICEM
from forethought.actor.mppi import MPPI
from forethought.actor.search import shift

__all__ = ["CEM", "ICEM", "MPPI", "Gradient", "Hierarchical", "shift"]
