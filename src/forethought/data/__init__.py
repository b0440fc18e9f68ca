"""Data: the episode store, windows for training, recording, importers."""

from forethought.data.behaviours import Behaviour, persistent_random
from forethought.data.dataset import Dataset, EpisodeArrays
from forethought.data.moments import Moments, Statistics
from forethought.data.record import record
from forethought.data.schema import ImageEncoding
from forethought.data.store import EpisodeWriter, append_to, create, open
from forethought.data.windows import WindowConfig, WindowSampler

__all__ = [
    "Behaviour",
    "Dataset",
    "EpisodeArrays",
    "EpisodeWriter",
    "ImageEncoding",
    "Moments",
    "Statistics",
    "WindowConfig",
    "WindowSampler",
    "append_to",
    "create",
    "open",
    "persistent_random",
    "record",
]
