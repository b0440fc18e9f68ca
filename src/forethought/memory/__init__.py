"""Memory: what the agent has just seen."""

from forethought.memory.short_term import ObservationWindow

__all__ = ["ObservationWindow"]
