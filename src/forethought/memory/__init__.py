"""Memory: what the agent has just seen, where it has been, and what it tried in vain; and what was
done in states like the present, in a recording.
"""

from forethought.memory.attempts import Attempts, AttemptsConfig
from forethought.memory.chunks import ActionChunks
from forethought.memory.reads import ReadLog
from forethought.memory.short_term import ObservationWindow
from forethought.memory.trail import Trail

__all__ = ["ActionChunks", "Attempts", "AttemptsConfig", "ObservationWindow", "ReadLog", "Trail"]
