"""The world model: s' = Pred(s, a), what keeps its latents from collapsing, and what reads them."""

from forethought.world_model.diagnostics import CollapseReport, collapse_report, effective_rank
from forethought.world_model.predictors import (
    GridPredictorConfig,
    PredictorConfig,
    ResidualMLPConfig,
)
from forethought.world_model.probes import LinearProbe, MLPProbe, fit_linear_probe, fit_mlp_probe
from forethought.world_model.regularisers import (
    GridInverseDynamicsConfig,
    InverseDynamicsConfig,
    RegulariserConfig,
    SIGRegConfig,
    TemporalSmoothnessConfig,
    TemporalVarianceConfig,
    VICRegConfig,
)
from forethought.world_model.world_model import WorldModel, WorldModelConfig

__all__ = [
    "CollapseReport",
    "GridInverseDynamicsConfig",
    "GridPredictorConfig",
    "InverseDynamicsConfig",
    "LinearProbe",
    "MLPProbe",
    "PredictorConfig",
    "RegulariserConfig",
    "ResidualMLPConfig",
    "SIGRegConfig",
    "TemporalSmoothnessConfig",
    "TemporalVarianceConfig",
    "VICRegConfig",
    "WorldModel",
    "WorldModelConfig",
    "collapse_report",
    "effective_rank",
    "fit_linear_probe",
    "fit_mlp_probe",
]
