"""Learning: pretraining, the critic, probes; a loop that resumes to the bit."""

from forethought.learning.augmentation import AugmentationConfig
from forethought.learning.critic import CriticTrainingConfig
from forethought.learning.errors import AnchoredError, ErrorAgainstCopy, SquaredError
from forethought.learning.hierarchy import HierarchyTrainingConfig
from forethought.learning.hindsight import HindsightTrainingConfig
from forethought.learning.jepa import JEPAConfig
from forethought.learning.linear_start import LinearStartConfig
from forethought.learning.local_metric import LocalMetricTrainingConfig
from forethought.learning.probing import ProbeTrainingConfig
from forethought.learning.train import TrainConfig, train
from forethought.learning.trainer import OptimiserConfig

__all__ = [
    "AnchoredError",
    "AugmentationConfig",
    "CriticTrainingConfig",
    "ErrorAgainstCopy",
    "HierarchyTrainingConfig",
    "HindsightTrainingConfig",
    "JEPAConfig",
    "LinearStartConfig",
    "LocalMetricTrainingConfig",
    "OptimiserConfig",
    "ProbeTrainingConfig",
    "SquaredError",
    "TrainConfig",
    "train",
]
