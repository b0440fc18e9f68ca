"""Memory: what the agent has just seen, where it has been, and what it tried in vain."""

from forethought.memory.attempts import Attempts, AttemptsConfig
from forethought.memory.short_term import ObservationWindow
from forethought.memory.trail import Trail

__all__ = ["Attempts", "AttemptsConfig", "ObservationWindow", "Trail"]
