"""Data: the episode store, windows for training, recording, importers."""

from forethought.data.record import record
from forethought.data.schema import ImageEncoding
from forethought.data.store import (
    Dataset,
    EpisodeArrays,
    EpisodeWriter,
    append_to,
    create,
    open,
)
from forethought.data.windows import WindowConfig, WindowSampler

__all__ = [
    "Dataset",
    "EpisodeArrays",
    "EpisodeWriter",
    "ImageEncoding",
    "WindowConfig",
    "WindowSampler",
    "append_to",
    "create",
    "open",
    "record",
]
