"""What the benchmark of encoders changes in a recipe, one thing at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from forethought.learning import JEPAConfig, TrainConfig
from forethought.perception import CNNConfig, EncoderConfig, GridCNNConfig, IMPALAConfig, ViTConfig
from forethought.world_model import (
    CausalTransformerConfig,
    GridInverseDynamicsConfig,
    GridPredictorConfig,
    GRUConfig,
    InverseDynamicsConfig,
    MovingAverageConfig,
    OwnLatentsConfig,
    PatchTransformerConfig,
    PredictorConfig,
    RegulariserConfig,
    ResidualMLPConfig,
    SIGRegConfig,
    TargetConfig,
    TemporalSmoothnessConfig,
    TemporalStraighteningConfig,
    TemporalVarianceConfig,
    VICRegConfig,
)

Change = Callable[[TrainConfig], TrainConfig]
Terms = tuple[RegulariserConfig, ...]


# ----------------------------------------------------------------------------- how to change


def as_it_is(run: TrainConfig) -> TrainConfig:
    """Nothing is changed."""
    return run


def encoder(config: EncoderConfig) -> Change:
    """Another encoder for the camera."""

    def change(run: TrainConfig) -> TrainConfig:
        (camera,) = run.world_model.perception.encoders
        perception = replace(run.world_model.perception, encoders={camera: config})
        return replace(run, world_model=replace(run.world_model, perception=perception))

    return change


def predictor(config: PredictorConfig) -> Change:
    """Another predictor."""

    def change(run: TrainConfig) -> TrainConfig:
        return replace(run, world_model=replace(run.world_model, predictor=config))

    return change


def only(*kinds: type[RegulariserConfig]) -> Change:
    """No regularisers but those of these kinds."""
    return _regularised(lambda terms: [term for term in terms if isinstance(term, kinds)])


def instead(kind: type[RegulariserConfig], *others: RegulariserConfig) -> Change:
    """Other regularisers, or none, in place of one."""
    return _regularised(
        lambda terms: [*(term for term in terms if not isinstance(term, kind)), *others]
    )


def _regularised(edit: Callable[[Terms], list[RegulariserConfig]]) -> Change:
    def change(run: TrainConfig) -> TrainConfig:
        objective = run.objective
        assert isinstance(objective, JEPAConfig)
        terms = tuple(edit(objective.regularisers))
        return replace(run, objective=replace(objective, regularisers=terms))

    return change


def target(config: TargetConfig) -> Change:
    """Another target of prediction."""

    def change(run: TrainConfig) -> TrainConfig:
        assert isinstance(run.objective, JEPAConfig)
        return replace(run, objective=replace(run.objective, target=config))

    return change


def together(*changes: Change) -> Change:
    """Several changes at once, where one needs the other."""

    def change(run: TrainConfig) -> TrainConfig:
        for one in changes:
            run = one(run)
        return run

    return change


# ---------------------------------------------------------------------------- what is changed

STOPPED = together(only(), target(OwnLatentsConfig(gradient=False)))
AVERAGE = MovingAverageConfig(decay=0.99)
GRID = together(
    encoder(GridCNNConfig(width=8, patch=8, channels=(32, 32))),
    instead(VICRegConfig, VICRegConfig(weight=1.0, covariance=0.25, pool_tokens=True)),
    instead(InverseDynamicsConfig, GridInverseDynamicsConfig()),
)


def of_one_vector(width: int) -> dict[str, Change]:
    """For recipes whose latent is one vector of this width."""
    return {
        "recipe: CNN, residual MLP, VICReg": as_it_is,
        "encoder: small IMPALA": encoder(IMPALAConfig(width=width, channels=(8, 16, 16))),
        "encoder: ViT, pooled": encoder(
            ViTConfig(width=width, patch=8, hidden=64, depth=2, heads=2)
        ),
        "encoder: CNN, twice as wide": encoder(
            CNNConfig(width=2 * width, patch=4, channels=(32, 64, 64))
        ),
        "encoder: CNN, half as wide": encoder(
            CNNConfig(width=width // 2, patch=4, channels=(16, 32, 32))
        ),
        "predictor: GRU": predictor(GRUConfig()),
        "predictor: causal transformer": predictor(
            CausalTransformerConfig(hidden=64, depth=2, heads=2, dropout=0.0)
        ),
        "predictor: small MLP": predictor(ResidualMLPConfig(hidden=(64,))),
        "grid of tokens, convolutions": together(GRID, predictor(GridPredictorConfig())),
        "grid of tokens, patch transformer": together(
            GRID,
            predictor(PatchTransformerConfig(window=1, hidden=48, depth=2, heads=2, mlp_width=96)),
        ),
        "regulariser: SIGReg for VICReg": instead(VICRegConfig, SIGRegConfig(weight=0.02)),
        "regulariser: straightening for smoothness": instead(
            TemporalSmoothnessConfig, TemporalStraighteningConfig()
        ),
        "regulariser: VICReg alone": only(VICRegConfig),
        "regulariser: inverse dynamics alone": only(InverseDynamicsConfig),
        "target: moving average, inverse dynamics": together(
            only(InverseDynamicsConfig), target(AVERAGE)
        ),
        "target: stopped gradient, nothing else": STOPPED,
    }


def of_a_grid() -> dict[str, Change]:
    """For the recipe whose latent is a grid of 8x8 tokens."""
    return {
        "recipe: 8x8 tokens, convolutions, VICReg": as_it_is,
        "encoder: fewer channels": encoder(GridCNNConfig(width=16, patch=4, channels=(16, 24))),
        "encoder: 4x4 tokens": encoder(GridCNNConfig(width=32, patch=8, channels=(24, 48))),
        "encoder: ViT, one token a patch": encoder(
            ViTConfig(width=16, patch=8, hidden=64, depth=2, heads=2, pooled=False)
        ),
        "predictor: smaller convolutions": predictor(GridPredictorConfig(channels=48)),
        "predictor: patch transformer": predictor(
            PatchTransformerConfig(window=1, hidden=64, depth=2, heads=2, mlp_width=128)
        ),
        "regulariser: SIGReg for VICReg": instead(VICRegConfig, SIGRegConfig(weight=0.02)),
        "regulariser: no variance over time": instead(TemporalVarianceConfig),
        "regulariser: no inverse dynamics": instead(GridInverseDynamicsConfig),
        "target: moving average, inverse dynamics": together(
            only(GridInverseDynamicsConfig), target(AVERAGE)
        ),
    }
