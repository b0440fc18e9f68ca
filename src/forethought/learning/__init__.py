"""Learning: pretraining, the critic, probes; a loop that resumes to the bit."""

from forethought.learning.action_free import PretrainConfig, pretrain, pretraining_of
from forethought.learning.augmentation import AugmentationConfig
from forethought.learning.begin import BeginFrom
from forethought.learning.bootstrap import BootstrapConfig
from forethought.learning.calibrating import CalibrationConfig, calibrate
from forethought.learning.choosing import Clip, choose_clips
from forethought.learning.chunks import action_chunks
from forethought.learning.critic import CriticTrainingConfig
from forethought.learning.distilling import DistillingConfig, Mirror, distill
from forethought.learning.errors import AnchoredError, ErrorAgainstCopy, SquaredError
from forethought.learning.fear import FearReport, FearTrainingConfig, train_fear
from forethought.learning.hierarchy import HierarchyTrainingConfig
from forethought.learning.hindsight import HindsightTrainingConfig
from forethought.learning.inferred_actions import InferredActionsConfig
from forethought.learning.jepa import JEPAConfig
from forethought.learning.likeness import learn_unlike
from forethought.learning.linear_start import LinearStartConfig
from forethought.learning.local_metric import LocalMetricTrainingConfig
from forethought.learning.masked import MaskedPredictorConfig, MaskedPretrainingConfig
from forethought.learning.masks import BlockMasks, LapseMasks, MomentMasks
from forethought.learning.pretraining import ObjectiveConfig, PretrainingStage
from forethought.learning.principal_start import PrincipalStartConfig
from forethought.learning.probing import ProbeTrainingConfig
from forethought.learning.remembering import open_memory, remember
from forethought.learning.sketching import SketchReport, SketchTrainingConfig, train_sketch
from forethought.learning.start import StartConfig
from forethought.learning.train import TrainConfig, train
from forethought.learning.trainer import OptimiserConfig
from forethought.learning.video import VideoConfig
from forethought.learning.wording import WordsReport, WordsTrainingConfig, learn_words

__all__ = [
    "AnchoredError",
    "AugmentationConfig",
    "BeginFrom",
    "BlockMasks",
    "BootstrapConfig",
    "CalibrationConfig",
    "Clip",
    "CriticTrainingConfig",
    "DistillingConfig",
    "ErrorAgainstCopy",
    "FearReport",
    "FearTrainingConfig",
    "HierarchyTrainingConfig",
    "HindsightTrainingConfig",
    "InferredActionsConfig",
    "JEPAConfig",
    "LapseMasks",
    "LinearStartConfig",
    "LocalMetricTrainingConfig",
    "MaskedPredictorConfig",
    "MaskedPretrainingConfig",
    "MomentMasks",
    "ObjectiveConfig",
    "Mirror",
    "OptimiserConfig",
    "PretrainConfig",
    "PretrainingStage",
    "PrincipalStartConfig",
    "ProbeTrainingConfig",
    "SketchReport",
    "SketchTrainingConfig",
    "SquaredError",
    "StartConfig",
    "TrainConfig",
    "VideoConfig",
    "WordsReport",
    "WordsTrainingConfig",
    "action_chunks",
    "calibrate",
    "choose_clips",
    "distill",
    "learn_unlike",
    "learn_words",
    "open_memory",
    "pretrain",
    "pretraining_of",
    "remember",
    "train",
    "train_fear",
    "train_sketch",
]
