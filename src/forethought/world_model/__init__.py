"""The world model: s' = Pred(s, a), what keeps its latents from collapsing, and what reads them."""

from forethought.world_model.adapted import AdaptedPredictorConfig
from forethought.world_model.diagnostics import CollapseReport, collapse_report, effective_rank
from forethought.world_model.ensemble import EnsembleConfig
from forethought.world_model.fast import FastConfig, FastWorldModel, accelerate
from forethought.world_model.flops import unroll_flops
from forethought.world_model.grid_memory import GridMemoryConfig
from forethought.world_model.hierarchy import (
    GridPriorConfig,
    HierarchyConfig,
    LevelConfig,
    MLPPriorConfig,
)
from forethought.world_model.hindsight import HindsightConfig
from forethought.world_model.latent_variable import CategoricalLatentConfig, LatentVariableConfig
from forethought.world_model.lewm import LeWMEncoderConfig, import_lewm
from forethought.world_model.predictors import (
    GridPredictorConfig,
    GRUConfig,
    Predictor,
    PredictorConfig,
    RecurrentLatentConfig,
    ResidualMLPConfig,
)
from forethought.world_model.probes import LinearProbe, MLPProbe, fit_linear_probe, fit_mlp_probe
from forethought.world_model.regularisers import (
    GridInverseDynamicsConfig,
    InverseDynamicsConfig,
    RegulariserConfig,
    SIGRegConfig,
    TemporalSmoothnessConfig,
    TemporalStraighteningConfig,
    TemporalVarianceConfig,
    VICRegConfig,
)
from forethought.world_model.sketch import Sketch, SketchConfig
from forethought.world_model.targets import MovingAverageConfig, OwnLatentsConfig, TargetConfig
from forethought.world_model.transformers import CausalTransformerConfig, PatchTransformerConfig
from forethought.world_model.world_model import WorldModel, WorldModelConfig

__all__ = [
    "AdaptedPredictorConfig",
    "CategoricalLatentConfig",
    "CausalTransformerConfig",
    "CollapseReport",
    "EnsembleConfig",
    "FastConfig",
    "FastWorldModel",
    "GRUConfig",
    "GridInverseDynamicsConfig",
    "GridMemoryConfig",
    "GridPredictorConfig",
    "GridPriorConfig",
    "HierarchyConfig",
    "HindsightConfig",
    "InverseDynamicsConfig",
    "LatentVariableConfig",
    "LeWMEncoderConfig",
    "LevelConfig",
    "MLPPriorConfig",
    "LinearProbe",
    "MLPProbe",
    "MovingAverageConfig",
    "OwnLatentsConfig",
    "PatchTransformerConfig",
    "Predictor",
    "PredictorConfig",
    "RecurrentLatentConfig",
    "RegulariserConfig",
    "ResidualMLPConfig",
    "SIGRegConfig",
    "Sketch",
    "SketchConfig",
    "TargetConfig",
    "TemporalSmoothnessConfig",
    "TemporalStraighteningConfig",
    "TemporalVarianceConfig",
    "VICRegConfig",
    "WorldModel",
    "WorldModelConfig",
    "accelerate",
    "collapse_report",
    "effective_rank",
    "fit_linear_probe",
    "fit_mlp_probe",
    "import_lewm",
    "unroll_flops",
]
