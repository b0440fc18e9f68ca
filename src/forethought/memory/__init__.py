"""Memory: what the agent has just seen, where it has been, and what it tried in vain; what was done
in states like the present, in a recording; and slots that are written and read by what they are
about.
"""

from forethought.memory.attempts import Attempts, AttemptsConfig
from forethought.memory.chunks import ActionChunks
from forethought.memory.reads import ReadLog
from forethought.memory.short_term import ObservationWindow
from forethought.memory.slot_predictor import SlotPredictor, SlotPredictorConfig
from forethought.memory.slots import SlotMemory, SlotMemoryConfig, SlotState, Trace, Writes
from forethought.memory.trail import Trail

__all__ = [
    "ActionChunks",
    "Attempts",
    "AttemptsConfig",
    "ObservationWindow",
    "ReadLog",
    "SlotMemory",
    "SlotMemoryConfig",
    "SlotPredictor",
    "SlotPredictorConfig",
    "SlotState",
    "Trace",
    "Trail",
    "Writes",
]
