"""From a dataset to a trained model: world model, critic, probes, in one resumable run."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

import forethought
from forethought.allocation import keep_freed_memory
from forethought.card import MEASURED
from forethought.config import register
from forethought.data.store import Dataset, EpisodeArrays
from forethought.data.windows import MixedSampler, WindowConfig, WindowSampler, as_vectors
from forethought.learning.begin import BeginFrom
from forethought.learning.bootstrap import BootstrapConfig, BootstrapStage
from forethought.learning.calibrating import CalibrationConfig, calibrate
from forethought.learning.checkpoint import Progress, step_generator
from forethought.learning.critic import CriticTraining, target_of
from forethought.learning.folder import METRICS, SUMMARY, claim_folder
from forethought.learning.hierarchy import HierarchyTrainingConfig, LevelStage
from forethought.learning.hindsight import HindsightStage, HindsightTrainingConfig
from forethought.learning.inferred_actions import (
    ActionReader,
    InferredActionsConfig,
    InferringStage,
    infer,
)
from forethought.learning.latents import LatentEpisodes
from forethought.learning.metrics import JSONLines, TensorBoard
from forethought.learning.preparation import perceived, vector_normalisers
from forethought.learning.pretraining import ObjectiveConfig, PretrainingStage
from forethought.learning.probing import (
    ProbeReport,
    ProbeTrainingConfig,
    fit_probes,
    probe_report,
)
from forethought.learning.sketching import SketchReport, SketchStage, SketchTrainingConfig
from forethought.learning.trainer import Loop, LoopConfig, Stage
from forethought.model import CONFIG, Model, ModelConfig, load_model, write_safely
from forethought.perception.normalise import Normaliser
from forethought.types import TASK, TASK_SPEC, ArraySpec, ForethoughtError, Signature
from forethought.world_model.diagnostics import CollapseReport
from forethought.world_model.world_model import WorldModel, WorldModelConfig

INFERRED = "inferred_actions.safetensors"


class CollapseWarning(UserWarning):
    """A finished run whose latents have collapsed; the message names symptom and remedy."""


@register
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training run.

    Attributes:
        recipe: the name it goes by.
        world_model: perception and predictor.
        objective: pretraining.
        bootstrap: how the members of an ensemble learn apart after it; None where they do not.
        critic: the temporal distance; None for none.
        probes: quantities to read from the latents; None for none.
        hindsight: heads that tell what was done between two states; None for none.
        hierarchy: levels above the world model; None for none.
        sketch: a cheap predictor of what the world model foresees; None for none.
        image_size: height and width that images are reduced to; None for their own.
        held_out: share of the episodes that training never sees.
        seed: of weights, batches and the split.
        begin: the earlier run whose weights it begins with; None to begin at random.
        inferred: how the actions of clips that have none are inferred, so that the world model
            learns from them as well; None to leave it to the episodes with actions.
        calibration: what guardrails are calibrated on, where there are probes; None for nothing.
    """

    recipe: str
    world_model: WorldModelConfig
    objective: ObjectiveConfig
    bootstrap: BootstrapConfig | None = None
    critic: CriticTraining | None = None
    probes: ProbeTrainingConfig | None = None
    hindsight: HindsightTrainingConfig | None = None
    hierarchy: HierarchyTrainingConfig | None = None
    sketch: SketchTrainingConfig | None = None
    image_size: tuple[int, int] | None = None
    held_out: float = 0.1
    seed: int = 0
    begin: BeginFrom | None = None
    inferred: InferredActionsConfig | None = None
    calibration: CalibrationConfig | None = field(default_factory=CalibrationConfig)


class Learner(nn.Module):
    """Everything that changes in training: the model, and what only training needs.

    Args:
        model: what is kept.
        config: says what training needs besides.
    """

    def __init__(self, model: Model, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.parts = config.objective.parts(model.world_model)
        for name, part in self.parts.items():
            self.add_module(name, part)
        self.critic_target = target_of(model.critic) if model.critic is not None else None
        self.reader = _reader(config, model.world_model)


def train(
    data: Dataset,
    config: TrainConfig,
    out: Path | str,
    *,
    clips: Dataset | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> Model:
    """Trains a model on a dataset and leaves it in a folder.

    Killed at any moment and called again with ``resume``, it ends with the same weights as a run
    that was never interrupted (on the same machine, with the same number of threads). The process
    keeps the memory that it frees from here on, see :mod:`forethought.allocation`.

    Args:
        data: recorded episodes.
        config: the whole run.
        out: folder of the run; new, unless resuming.
        clips: more recordings of the same observations, whose actions are not looked at: the critic
            learns from them as well, since it is told of the order in time alone, and the world
            model where ``config.inferred`` says how their actions are inferred.
        resume: continue the run in ``out``; start it if there is none.
        tensorboard: also write TensorBoard events.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: the data do not fit the recipe, the run to begin with does not, or the
            folder is in use; before any work.
    """
    keep_freed_memory()
    out, config = Path(out), resolved(config)
    signature = perceived_signature(data.signature, config)
    if clips is not None:
        _check_clips(clips, signature, config)
    _check_inferred(config, clips)
    if config.bootstrap:
        config.bootstrap.check(config.world_model)
    if config.begin:
        config.begin.check(config.world_model, signature)
    claim_folder(out, config, data, clips=clips, resume=resume)
    if (out / CONFIG).exists():
        return load_model(out)
    run = _Run(data, config, signature, out, clips=clips)
    begun = run.learner.model.world_model
    loop = Loop(
        config=LoopConfig(seed=config.seed, visible=visible, checkpoint_s=checkpoint_s),
        learner=run.learner,
        folder=out / "checkpoints",
        metrics=JSONLines(out / METRICS),
        sinks=[TensorBoard(out / "tensorboard")] if tensorboard else [],
        rates=config.begin.rates(begun) if config.begin else {},
    )
    report = run.through(loop)
    if report.collapsed:
        warnings.warn("\n".join(report.findings), CollapseWarning, stacklevel=2)
    return run.learner.model.eval()


class _Run:
    """The parts of one run, in the order in which they come to be."""

    def __init__(
        self,
        data: Dataset,
        config: TrainConfig,
        signature: Signature,
        out: Path,
        *,
        clips: Dataset | None,
    ) -> None:
        self.config, self.out, self.clips = config, out, clips
        self.inferred: Tensor | None = None
        train_ids, held_out_ids = data.split(held_out=config.held_out, seed=config.seed)
        keys = _keys(config)
        self.train = data.load(train_ids, keys=keys, image_size=config.image_size, cache=out)
        self.held_out = data.load(held_out_ids, keys=keys, image_size=config.image_size, cache=out)
        self.held_out_ids = [int(i) for i in held_out_ids]
        self.signature = signature
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.learner = Learner(self._model(data, train_ids), config)

    def _model(self, data: Dataset, train_ids: Sequence[int]) -> Model:
        config, signature = self.config, self.signature
        probes = config.probes
        names = _names(data.signature.observation[probes.key]) if probes else ()
        parts = ModelConfig(
            world_model=config.world_model,
            critic=config.critic.critic if config.critic else None,
            probes=names,
            hindsight=config.hindsight.hindsight if config.hindsight else None,
            hierarchy=config.hierarchy.hierarchy if config.hierarchy else None,
            sketch=config.sketch.sketch if config.sketch else None,
        )
        notes = {
            "recipe": config.recipe,
            "seed": config.seed,
            "data": data.path.name,
            "held_out_episodes": self.held_out_ids,
            "probe_key": probes.key if probes else None,
            "begin": config.begin.run if config.begin else None,
            "clips": self.clips.path.name if self.clips else None,
            "forethought": forethought.__version__,
        }
        model = Model(parts, signature, normalisers_of(data, config, train_ids), notes)
        model.world_model.perception.load_published()
        if config.begin:
            config.begin.take(model.world_model)
        return model

    # ------------------------------------------------------------------ stages

    def through(self, loop: Loop) -> CollapseReport:
        """Every stage in turn, from where the loop was left; leaves the model in the folder."""
        config, progress = self.config, loop.resume()
        if config.inferred:
            progress = self.infer_actions(config.inferred, loop, progress)
        pretraining = self.world_model_stage()
        progress = loop.run(pretraining, progress)
        self.learner.eval()
        report = pretraining.report()
        for stage in self.later_stages():
            progress = loop.run(stage, progress)
        sketch = self.sketch_stage(config.sketch).report() if config.sketch else None
        probes = self.probes(config.probes) if config.probes else None
        if config.probes and config.calibration:
            self.learner.model.calibration = calibrate(
                self.learner.model, self.held_out, config.calibration, seed=config.seed
            )
        self.finish(progress.seconds, report, probes, sketch)
        return report

    def later_stages(self) -> Iterator[Stage]:
        """What is learned on the latents of the finished world model."""
        config = self.config
        if config.bootstrap:
            yield self.bootstrap_stage(config.bootstrap)
        if config.critic:
            yield self.critic_stage(config.critic)
        if config.hindsight:
            yield self.hindsight_stage(config.hindsight)
        if config.hierarchy:
            yield from self.level_stages(config.hierarchy)
        if config.sketch:
            yield self.sketch_stage(config.sketch)

    def _windows(self, arrays: EpisodeArrays, actions: Tensor | None = None) -> WindowSampler:
        objective, model = self.config.objective, self.config.world_model
        return WindowSampler(
            arrays,
            actions=actions,
            config=WindowConfig(
                length=objective.horizon + self.learner.model.world_model.predictor.window,
                action_block=model.action_block,
                frame_stack=model.perception.frame_stack,
                frame_gap=model.perception.frame_gap,
                whole_history=True,
            ),
        )

    def infer_actions(
        self, config: InferredActionsConfig, loop: Loop, progress: Progress
    ) -> Progress:
        """Learns to tell the actions of clips by the perception as it begins, and tells them.

        They are kept in the folder of the run: once the world model learns, that perception is
        gone.
        """
        kept, reader = self.out / INFERRED, self.learner.eval().reader
        assert reader is not None
        if not kept.exists():
            episodes, held_out = self._encoded(self.train), self._encoded(self.held_out)
            actions = as_vectors(self.train), as_vectors(self.held_out)
            stage = InferringStage(config, reader, episodes, actions[0], held_out, actions[1])
            progress = loop.run(stage, progress)
            told = {
                "actions": infer(reader, self._encoded(self.silent())),
                "explained": torch.tensor(stage.explained()),
            }
            write_safely(kept, save(told))
        self.inferred = load_file(kept)["actions"]
        return progress

    def world_model_stage(self) -> PretrainingStage:
        """Pretraining."""
        clips = self._windows(self.train)
        if self.config.inferred and self.inferred is not None:
            others = self._windows(self.silent(), self.inferred)
            clips = MixedSampler(clips, others, share=self.config.inferred.labelled)
        return self.config.objective.stage(
            self.learner.model.world_model,
            self.learner.parts,
            clips,
            self._windows(self.held_out),
        )

    def bootstrap_stage(self, config: BootstrapConfig) -> Stage:
        """The members of an ensemble, each on its own share of the frozen latents."""
        return BootstrapStage(
            config,
            self.learner.model.world_model,
            self.episodes,
            as_vectors(self.train),
            step_generator(self.config.seed, BootstrapStage.name, 0),
        )

    def critic_stage(self, config: CriticTraining) -> Stage:
        """The temporal distance, on frozen latents."""
        critic, target = self.learner.model.critic, self.learner.critic_target
        assert critic is not None and target is not None
        episodes = self.episodes
        if self.clips is not None:
            episodes = episodes.joined(self._encoded(self.silent()))
        return config.stage(self.learner.model.world_model, critic, target, episodes)

    def silent(self) -> EpisodeArrays:
        """The clips whose actions are not looked at."""
        assert self.clips is not None
        keys = list(self.config.world_model.perception.encoders)
        return self.clips.load(keys=keys, image_size=self.config.image_size, cache=self.out)

    def _encoded(self, arrays: EpisodeArrays) -> LatentEpisodes:
        """Episodes as the world model perceives them now."""
        return LatentEpisodes.of(self.learner.model.world_model, arrays)

    def hindsight_stage(self, config: HindsightTrainingConfig) -> Stage:
        """What was done between two states, on frozen latents."""
        model = self.learner.model
        assert model.hindsight is not None
        return HindsightStage(
            config, model.hindsight, model.world_model, self.episodes, as_vectors(self.train)
        )

    def level_stages(self, config: HierarchyTrainingConfig) -> list[LevelStage]:
        """The levels above, lowest first, on frozen latents."""
        model, actions = self.learner.model, as_vectors(self.train)
        assert model.hierarchy is not None
        return [
            LevelStage(config, number, level, model.world_model, self.episodes, actions)
            for number, level in enumerate(model.hierarchy.levels, start=1)
        ]

    def sketch_stage(self, config: SketchTrainingConfig) -> SketchStage:
        """What the world model foresees at a fraction of the price, on frozen latents."""
        model = self.learner.model
        assert model.sketch is not None
        return SketchStage(
            config,
            model.sketch,
            model.world_model,
            self.episodes,
            as_vectors(self.train),
            (self.held_out_episodes, as_vectors(self.held_out)),
        )

    @cached_property
    def episodes(self) -> LatentEpisodes:
        """The episodes as the finished world model perceives them."""
        return self._encoded(self.train)

    @cached_property
    def held_out_episodes(self) -> LatentEpisodes:
        """Those that nothing is trained on, as the finished world model perceives them."""
        return self._encoded(self.held_out)

    def probes(self, config: ProbeTrainingConfig) -> ProbeReport:
        """Fits the probes; says what they find in held-out episodes."""
        model, generator = self.learner.model, step_generator(self.config.seed, "probes", 0)
        latents, quantities = self.episodes.latents, self.train.observation[config.key]
        fit_probes(model, config, latents, quantities, generator)
        held_out = self.held_out_episodes.latents
        return probe_report(model, held_out, self.held_out.observation[config.key])

    def _inference(self) -> dict[str, float] | None:
        """How well actions were inferred: share of the variance of held-out ones."""
        if self.inferred is None:
            return None
        return {"explained": float(load_file(self.out / INFERRED)["explained"])}

    def finish(
        self,
        seconds: Mapping[str, float],
        report: CollapseReport,
        probes: ProbeReport | None,
        sketch: SketchReport | None,
    ) -> None:
        """Leaves the model and the summary; the configuration last, as the mark of a whole run."""
        summary = {
            "seconds": dict(seconds),
            "train_seconds": sum(seconds.values()),
            "diagnostics": asdict(report),
            "probes": asdict(probes) if probes else None,
            "sketch": asdict(sketch) if sketch else None,
            "inferred_actions": self._inference(),
            "parameters": sum(p.numel() for p in self.learner.model.parameters()),
            "held_out_episodes": self.held_out_ids,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_safely(self.out / SUMMARY, json.dumps(summary, indent=2).encode())
        model = self.learner.model
        kept = ("diagnostics", "probes", "train_seconds")
        model.notes[MEASURED] = {"training": {name: summary[name] for name in kept}}
        model.save_pretrained(self.out)


# ---------------------------------------------------------------------------- preparation


def resolved(config: TrainConfig) -> TrainConfig:
    """The same run with its encoders' settings complete: what they say of published networks is
    read and becomes part of the configuration."""
    world_model = config.world_model
    perception = world_model.perception.resolved()
    return replace(config, world_model=replace(world_model, perception=perception))


def perceived_signature(signature: Signature, config: TrainConfig) -> Signature:
    """What the model will be given: the perceived keys, images at the size they are reduced to.

    Raises:
        ForethoughtError: the data lack a key, or hold it in another form than the recipe needs.
    """
    wanted = [config.probes.key] if config.probes else []
    perception = config.world_model.perception
    return perceived(
        signature, perception, recipe=config.recipe, image_size=config.image_size, wanted=wanted
    )


def _reader(config: TrainConfig, world_model: WorldModel) -> ActionReader | None:
    """What reads actions from latents, where that is asked for."""
    if config.inferred is None:
        return None
    action_width = world_model.action_width // world_model.config.action_block
    return ActionReader(config.inferred, world_model.num_tokens * world_model.width, action_width)


def _check_inferred(config: TrainConfig, clips: Dataset | None) -> None:
    """Refuses to infer actions from nothing, or for nothing."""
    if config.inferred and (clips is None or config.begin is None):
        lacking = "clips to infer them for" if clips is None else "a perception to begin with"
        raise ForethoughtError(
            f"inferring actions needs {lacking}: give both clips=... and begin=BeginFrom(...) "
            "(--clips and --begin), after `forethought pretrain` on the clips."
        )


def _check_clips(clips: Dataset, signature: Signature, config: TrainConfig) -> None:
    """Refuses clips that are not observed as the data are."""
    for key in config.world_model.perception.encoders:
        known = {**clips.signature.observation, TASK: TASK_SPEC}
        wanted, found = signature.observation[key], known.get(key)
        if found is not None and len(found.shape) == 3 and config.image_size:
            found = replace(found, shape=(*config.image_size, found.shape[2]))
        if found is None or (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise ForethoughtError(
                f"{clips.path}: the clips hold {key!r} as {found}, the data as {wanted}; give "
                "clips with the same observations, or leave them out."
            )


def normalisers_of(
    data: Dataset, config: TrainConfig, train_ids: Sequence[int]
) -> dict[str, Normaliser]:
    """Standardisation of the perceived vectors and of the model action, from training episodes."""
    statistics = data.statistics(train_ids)
    normalisers = vector_normalisers(data.signature, statistics, config.world_model.perception)
    block, spec = config.world_model.action_block, data.signature.action
    if spec.discrete:
        share = 1 / spec.num_choices
        mean, std = [share] * spec.width, [(share * (1 - share)) ** 0.5] * spec.width
    else:
        mean, std = list(statistics["action"].mean), list(statistics["action"].std)
    normalisers["action"] = Normaliser(mean * block, std * block)
    return normalisers


def _keys(config: TrainConfig) -> list[str]:
    keys = list(config.world_model.perception.encoders)
    if config.probes and config.probes.key not in keys:
        keys.append(config.probes.key)
    return keys


def _names(spec: ArraySpec) -> tuple[str, ...]:
    return spec.names or tuple(f"[{i}]" for i in range(spec.shape[0]))
