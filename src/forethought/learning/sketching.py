"""Training of a sketch: to foresee what the world model foresees, at a fraction of the price."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.data.dataset import Dataset
from forethought.data.windows import as_vectors
from forethought.learning.calibrating import arrays_of
from forethought.learning.folder import METRICS, SUMMARY, claim_folder
from forethought.learning.latents import LatentEpisodes
from forethought.learning.metrics import JSONLines
from forethought.learning.parts import digest, with_part
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.model import CONFIG, Model, load_model, write_safely
from forethought.types import ForethoughtError, Past
from forethought.world_model.sketch import Sketch, SketchConfig
from forethought.world_model.world_model import WorldModel

WATCHED = 256
"""Rollouts that a sketch is measured on."""


@register
@dataclass(frozen=True, kw_only=True)
class SketchTrainingConfig:
    """How a sketch is learned.

    Attributes:
        sketch: what it is made of.
        optimiser: steps, batch size (rollouts), learning rate.
        horizon: model steps rolled out; those of the planner that will use it.
        random_share: share of the rollouts whose actions are drawn at random in place of the
            recorded ones, since that is what planners imagine.

    Raises:
        ForethoughtError: a share that is none.
    """

    sketch: SketchConfig = field(default_factory=SketchConfig)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(num_steps=1500, batch_size=128, learning_rate=2e-3)
    )
    horizon: int = 6
    random_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.random_share <= 1:
            raise ForethoughtError(
                f"a sketch with random_share={self.random_share}; expected a share from 0 to 1."
            )


@dataclass(frozen=True, kw_only=True)
class SketchReport:
    """How near a sketch comes to the world model, from moments of held-out episodes.

    Attributes:
        error: mean squared difference of what both foresee, over the horizon.
        against_copy: that error over the one of foreseeing no change, under recorded actions.
        against_copy_random: the same under random actions.
        against_copy_last: the same at the last step of the horizon, under random actions.
    """

    error: float
    against_copy: float
    against_copy_random: float
    against_copy_last: float


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """What is foreseen from recorded moments.

    Attributes:
        present: ``(n, k, d)`` where they begin.
        past: what came before.
        actions: ``(n, h, a)`` standardised.
        foreseen: ``(n, h, k, d)`` what the world model expects.
    """

    present: Float[Tensor, "n k d"]
    past: Past
    actions: Float[Tensor, "n h a"]
    foreseen: Float[Tensor, "n h k d"]

    def errors(self, sketch: Sketch) -> Float[Tensor, " h"]:
        """Mean squared difference of what a sketch expects, at each step."""
        drawn = sketch.rollout(self.present, self.actions, past=self.past)[:, 1:]
        return (drawn - self.foreseen).square().mean((0, 2, 3))

    def changes(self) -> Float[Tensor, " h"]:
        """The same of expecting no change."""
        return (self.present[:, None] - self.foreseen).square().mean((0, 2, 3))


class Teacher:
    """Draws recorded moments, and has the world model foresee what follows.

    Args:
        world_model: what is to be sketched.
        episodes: frozen latents.
        actions: ``(rows, width)`` world actions, one row per row of the latents.
        horizon: model steps of a rollout.
        memory: model steps before the present that a rollout may be told.
    """

    def __init__(
        self,
        world_model: WorldModel,
        episodes: LatentEpisodes,
        actions: Float[Tensor, "rows w"],
        *,
        horizon: int,
        memory: int,
    ) -> None:
        self.world_model, self.memory = world_model, memory
        self.latents, self.actions = episodes.latents, actions
        span = (memory + horizon) * episodes.block
        self.starts = episodes.starts_of(span, remedy="lower the horizon of the sketch")
        self.moments = torch.arange(memory + 1) * episodes.block
        self.done = torch.arange(span).unflatten(0, (memory + horizon, episodes.block))

    def draw(
        self, number: int, generator: torch.Generator, *, known: int, random_share: float
    ) -> Rollouts:
        """So many rollouts.

        Args:
            number: of them.
            generator: the only source of randomness.
            known: model steps before the present that are told.
            random_share: share of them under random actions; those come first.
        """
        rows = self.starts[torch.randint(len(self.starts), (number,), generator=generator)]
        device = self.world_model.low.device
        latents = self.latents[rows[:, None] + self.moments].to(device)
        recorded = self.actions[rows[:, None, None] + self.done].flatten(2).to(device)
        past, ahead = recorded[:, : self.memory], recorded[:, self.memory :].clone()
        invented = round(random_share * number)
        ahead[:invented] = self._random(ahead[:invented].shape, generator)
        return self._foreseen(
            latents[:, -1],
            Past(latents=latents[:, :-1], actions=self.world_model.normalise(past)).latest(known),
            self.world_model.normalise(ahead),
        )

    def _random(self, shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "n h a"]:
        """Actions drawn evenly from all that are allowed."""
        space = self.world_model.action_space
        drawn = torch.rand(shape, generator=generator).to(space.low)
        return space.project(space.low + (space.high - space.low) * drawn)

    @torch.no_grad()
    def _foreseen(
        self, present: Float[Tensor, "n k d"], past: Past, actions: Float[Tensor, "n h a"]
    ) -> Rollouts:
        # The loop has put all of the learner into training mode; what is foreseen knows no dropout.
        self.world_model.eval()
        ahead = self.world_model.rollout(present, actions, past=past)[:, 1:]
        return Rollouts(present=present, past=past, actions=actions, foreseen=ahead)


class SketchStage(Stage):
    """Regression of a sketch on what the world model foresees.

    Args:
        config: how.
        sketch: what is trained.
        world_model: what is sketched.
        episodes: frozen latents.
        actions: ``(rows, width)`` world actions, one row per row of the latents.
        held_out: frozen latents of held-out episodes, and their actions.
    """

    name = "sketch"
    label = "sketch"

    def __init__(
        self,
        config: SketchTrainingConfig,
        sketch: Sketch,
        world_model: WorldModel,
        episodes: LatentEpisodes,
        actions: Float[Tensor, "rows w"],
        held_out: tuple[LatentEpisodes, Float[Tensor, "held_rows w"]],
    ) -> None:
        self.config, self.optimiser, self.sketch = config, config.optimiser, sketch
        self.memory = max(world_model.predictor.window, sketch.predictor.window) - 1
        settings = {"horizon": config.horizon, "memory": self.memory}
        self.teacher = Teacher(world_model, episodes, actions, **settings)
        self.examiner = Teacher(world_model, *held_out, **settings)

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.sketch.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        rollouts = self.teacher.draw(
            self.optimiser.batch_size,
            generator,
            known=self._known(generator),
            random_share=self.config.random_share,
        )
        error = rollouts.errors(self.sketch).mean()
        against_copy = error.detach() / rollouts.changes().mean()
        return error, {"error": error.detach(), "against_copy": against_copy}

    def _known(self, generator: torch.Generator) -> int:
        """All numbers occur, so that acting can begin without any."""
        return int(torch.randint(self.memory + 1, (), generator=generator)) if self.memory else 0

    @torch.no_grad()
    def report(self) -> SketchReport:
        """How near the sketch comes to the world model on held-out episodes."""
        recorded, invented = (
            self.examiner.draw(
                WATCHED, torch.Generator().manual_seed(0), known=self.memory, random_share=share
            )
            for share in (0.0, 1.0)
        )
        error, change = recorded.errors(self.sketch), recorded.changes()
        wilder, further = invented.errors(self.sketch), invented.changes()
        return SketchReport(
            error=float(error.mean()),
            against_copy=float(error.mean() / change.mean()),
            against_copy_random=float(wilder.mean() / further.mean()),
            against_copy_last=float(wilder[-1] / further[-1]),
        )

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        report = self.report()
        return {
            "held_out_against_copy": report.against_copy,
            "held_out_against_copy_random": report.against_copy_random,
        }


def train_sketch(
    model: Model,
    data: Dataset,
    out: Path | str,
    *,
    config: SketchTrainingConfig | None = None,
    seed: int = 0,
    resume: bool = False,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> Model:
    """A model as it is, with a sketch; for those that were imported, or trained without one.

    Where the model is to be trained as well, ``TrainConfig.sketch`` makes both. Killed at any
    moment and called again with ``resume``, it ends with the same weights as a training that was
    never interrupted.

    Args:
        model: what is to be sketched.
        data: the dataset that it was trained on, or another one that it perceives.
        out: a folder of its own, for the model with its sketch.
        config: how.
        seed: of weights and batches, and of the split of other data than the model's own.
        resume: continue the training in ``out``; start it if there is none.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: the data lack what the model needs, or the folder is in use; before any
            training.
    """
    out, config = Path(out), config or SketchTrainingConfig()
    train, held_out = (arrays_of(model, data, ids) for ids in _split(model, data, seed))
    claim_folder(out, {"sketch": config, "model": digest(model)}, data, resume=resume)
    if (out / CONFIG).exists():
        return load_model(out)
    whole = with_part(model, seed, sketch=config.sketch)
    assert whole.sketch is not None
    (episodes, actions), unseen = (
        (LatentEpisodes.of(whole.world_model, arrays), as_vectors(arrays))
        for arrays in (train, held_out)
    )
    stage = SketchStage(config, whole.sketch, whole.world_model, episodes, actions, unseen)
    loop = Loop(
        config=LoopConfig(seed=seed, visible=visible, checkpoint_s=checkpoint_s),
        learner=whole.sketch,
        folder=out / "checkpoints",
        metrics=JSONLines(out / METRICS),
    )
    loop.run(stage, loop.resume())
    write_safely(out / SUMMARY, json.dumps({"sketch": asdict(stage.report())}, indent=2).encode())
    whole.eval().save_pretrained(out)
    return whole


def _split(model: Model, data: Dataset, seed: int) -> tuple[list[int], list[int]]:
    """Episodes to learn from, and those that nothing of the model was trained on."""
    if data.path.name != model.notes.get("data"):
        return data.split(seed=seed)
    held_out = set(model.notes["held_out_episodes"])
    return [i for i in range(data.num_episodes) if i not in held_out], sorted(held_out)
