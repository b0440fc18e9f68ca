"""Traces: every decision with its evidence, told in words, kept on disk, and replayed."""

from forethought.traces.reading import Trace, read_trace
from forethought.traces.records import (
    ChangeRecord,
    DecisionRecord,
    PlanRecord,
    Retrospect,
    TraceHeader,
)
from forethought.traces.tables import to_parquet
from forethought.traces.traced import Difference, Traced, replay
from forethought.traces.viewer import to_rerun
from forethought.traces.words import explain
from forethought.traces.writing import RecordingError, RecordingWarning, TraceConfig, TraceWriter

__all__ = [
    "ChangeRecord",
    "DecisionRecord",
    "Difference",
    "PlanRecord",
    "RecordingError",
    "RecordingWarning",
    "Retrospect",
    "Trace",
    "TraceConfig",
    "TraceHeader",
    "TraceWriter",
    "Traced",
    "explain",
    "read_trace",
    "replay",
    "to_parquet",
    "to_rerun",
]
