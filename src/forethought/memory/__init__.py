"""Memory: what the agent has just seen, and what it tried in vain."""

from forethought.memory.attempts import Attempts, AttemptsConfig
from forethought.memory.short_term import ObservationWindow

__all__ = ["Attempts", "AttemptsConfig", "ObservationWindow"]
