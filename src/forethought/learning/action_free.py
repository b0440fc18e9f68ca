"""Pretraining without actions: from clips of any kind to a perception, in one resumable run."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

import forethought
from forethought.config import register
from forethought.data.store import Dataset
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.learning.begin import PERCEPTION, load_perception, save_perception
from forethought.learning.folder import METRICS, claim_folder
from forethought.learning.jepa import JEPAConfig
from forethought.learning.masked import (
    NEED_ACTIONS,
    MaskedModel,
    MaskedPretrainingConfig,
    MaskedReport,
    MaskedStage,
)
from forethought.learning.masks import BlockMasks, MomentMasks
from forethought.learning.metrics import JSONLines
from forethought.learning.preparation import perceived, vector_normalisers
from forethought.learning.train import CollapseWarning, TrainConfig
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig
from forethought.model import write_safely
from forethought.perception.perception import Perception, PerceptionConfig
from forethought.types import Signature
from forethought.world_model.regularisers import RegulariserConfig, VICRegConfig

SUMMARY = "pretrain.json"


@register
@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """A whole run of pretraining without actions.

    Attributes:
        recipe: the name it goes by.
        perception: what is trained.
        objective: masked prediction.
        action_block: world steps between the moments of a clip.
        image_size: height and width that images are reduced to; None for their own.
        held_out: share of the episodes that training never sees.
        seed: of weights, batches, masks and the split.
    """

    recipe: str
    perception: PerceptionConfig
    objective: MaskedPretrainingConfig
    action_block: int = 1
    image_size: tuple[int, int] | None = None
    held_out: float = 0.1
    seed: int = 0


def pretraining_of(
    config: TrainConfig, signature: Signature, *, steps: int | None = None
) -> PretrainConfig:
    """Pretraining without actions of the perception that a training run asks for.

    Whole moments are hidden; where the perception gives a grid of tokens, in every second clip
    blocks of it are hidden instead. Of the recipe's regularisers, those stay that need no actions;
    where none does, VICReg is taken.

    Args:
        config: the training that will follow.
        signature: of the data.
        steps: of pretraining; those of the training that will follow where not said.
    """
    tokens, _ = config.world_model.perception.tokens(
        perceived(
            signature,
            config.world_model.perception,
            recipe=config.recipe,
            image_size=config.image_size,
        )
    )
    given = config.objective.optimiser
    return PretrainConfig(
        recipe=config.recipe,
        perception=config.world_model.perception,
        objective=MaskedPretrainingConfig(
            optimiser=OptimiserConfig(
                num_steps=given.num_steps if steps is None else steps,
                batch_size=given.batch_size,
                learning_rate=given.learning_rate,
                warmup_steps=given.warmup_steps,
            ),
            masks=(MomentMasks(),) if tokens == 1 else (MomentMasks(), BlockMasks()),
            regularisers=_without_actions(config) or (VICRegConfig(pool_tokens=tokens > 1),),
        ),
        action_block=config.world_model.action_block,
        image_size=config.image_size,
        held_out=config.held_out,
        seed=config.seed,
    )


def _without_actions(config: TrainConfig) -> tuple[RegulariserConfig, ...]:
    """The regularisers of a training run that need no actions."""
    if not isinstance(config.objective, JEPAConfig):
        return ()
    return tuple(one for one in config.objective.regularisers if not isinstance(one, NEED_ACTIONS))


def pretrain(
    data: Dataset,
    config: PretrainConfig,
    out: Path | str,
    *,
    resume: bool = False,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> Perception:
    """Trains a perception on clips whose actions are not looked at, and leaves it in a folder.

    :class:`BeginFrom` takes it from there. Killed at any moment and called again with ``resume``,
    it ends with the same weights as a run that was never interrupted.

    Args:
        data: recorded episodes.
        config: the whole run.
        out: folder of the run; new, unless resuming.
        resume: continue the run in ``out``; start it if there is none.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: the data do not fit the recipe, or the folder is in use; before any work.
    """
    out, config = Path(out), replace(config, perception=config.perception.resolved())
    signature = perceived(
        data.signature, config.perception, recipe=config.recipe, image_size=config.image_size
    )
    claim_folder(out, config, data, resume=resume)
    if (out / PERCEPTION).exists():
        return load_perception(out)[1]
    stage = _stage(data, config, signature, out)
    loop = Loop(
        config=LoopConfig(seed=config.seed, visible=visible, checkpoint_s=checkpoint_s),
        learner=stage.model,
        folder=out / "checkpoints",
        metrics=JSONLines(out / METRICS),
    )
    progress = loop.run(stage, loop.resume())
    stage.model.eval()
    report, seconds = stage.report(), sum(progress.seconds.values())
    _finish(out, config, data, signature, stage.model.perception, report, seconds)
    if report.collapsed:
        warnings.warn("\n".join(report.findings), CollapseWarning, stacklevel=2)
    return stage.model.perception


def _stage(data: Dataset, config: PretrainConfig, signature: Signature, out: Path) -> MaskedStage:
    train_ids, held_out_ids = data.split(held_out=config.held_out, seed=config.seed)
    window = WindowConfig(
        length=config.objective.length,
        action_block=config.action_block,
        frame_stack=config.perception.frame_stack,
        frame_gap=config.perception.frame_gap,
        whole_history=True,
    )
    samplers = [
        WindowSampler(
            data.load(
                ids, keys=[*config.perception.encoders], image_size=config.image_size, cache=out
            ),
            window,
        )
        for ids in (train_ids, held_out_ids)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        normalisers = vector_normalisers(
            data.signature, data.statistics(train_ids), config.perception
        )
        perception = Perception(config.perception, signature, normalisers)
        perception.load_published()
        model = MaskedModel(config.objective, perception)
    return MaskedStage(config.objective, model, *samplers)


def _finish(
    out: Path,
    config: PretrainConfig,
    data: Dataset,
    signature: Signature,
    perception: Perception,
    report: MaskedReport,
    seconds: float,
) -> None:
    """Leaves the summary, and the perception last, as the mark of a whole run."""
    summary = {
        "train_seconds": seconds,
        "diagnostics": asdict(report),
        "parameters": sum(one.numel() for one in perception.parameters()),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_safely(out / SUMMARY, json.dumps(summary, indent=2).encode())
    notes = {
        "recipe": config.recipe,
        "seed": config.seed,
        "data": data.path.name,
        "forethought": forethought.__version__,
    }
    save_perception(out, perception, signature, notes)
