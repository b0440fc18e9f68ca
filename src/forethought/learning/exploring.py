"""Collecting data with no task: plan toward what the world model does not know, and learn it.

Three things make an ensemble fit for that. Its members learn from different episodes, so that they
disagree where few episodes have been (:mod:`forethought.learning.bootstrap`). Disagreement counts
no more than what is seen at the border of the recordings: far beyond it, how large it is says
nothing, and a search for its maximum ends in whatever corner a model errs the most about. And what
an agent has looked at in an episode is worth less to it, since nothing is learned before the next.

In a maze the last of them matters most: without disagreement as much was covered in one layout and
less in another (``benchmarks/explore.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost.curiosity import curiosity
from forethought.cost.guardrail import Guardrail
from forethought.data.behaviours import Behaviour
from forethought.data.behaviours import explore as wander
from forethought.data.record import record, recorded_signature
from forethought.data.store import Dataset
from forethought.learning.bootstrap import BootstrapConfig
from forethought.learning.calibrating import check_recorded
from forethought.learning.folder import SUMMARY
from forethought.learning.jepa import JEPAConfig
from forethought.learning.latents import LatentEpisodes
from forethought.learning.train import TrainConfig, train
from forethought.model import Model, load_model
from forethought.safety import SafetyConfig
from forethought.types import ForethoughtError, Observation, Planner, Signature, World
from forethought.world_model import EnsembleConfig

ENOUGH, ALIKE = 0.95, 0.9
"""Shares of the recorded moments that are less doubtful, and of the recorded steps that are
shorter, than what counts as wholly unknown, and as another place."""
EXAMINED_EPISODES, EXAMINED_MOMENTS, PUSHES = 100, 1000, 16
"""What is usual is told from so many of the newest episodes."""
REMEMBERED = 1000
"""Latents of an episode that an agent knows it has looked at."""


@dataclass(frozen=True, kw_only=True)
class ExplorationConfig:
    """How a world is explored by what is not known of it.

    Attributes:
        num_episodes: in all.
        episode_length: rows of each.
        rounds: times that a world model is trained on what there is, before more is collected. The
            first share of episodes, as large as each later one, is collected before there is one.
        members: of the ensemble.
        planner: the search for what is not known.

    Raises:
        ForethoughtError: fewer episodes than shares.
    """

    num_episodes: int = 600
    episode_length: int = 100
    rounds: int = 3
    members: int = 5
    planner: Planner = field(
        default_factory=lambda: CEM(
            horizon=5,
            num_samples=64,
            num_iterations=2,
            num_elites=8,
            shared_noise=0.9,
            held_share=0.5,
        )
    )

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.num_episodes <= self.rounds:
            raise ForethoughtError(
                f"exploration of {self.num_episodes} episodes in rounds={self.rounds}; expected a "
                "round or more, and more episodes than rounds."
            )

    def until(self, number: int) -> int:
        """Episodes that there are before round ``number``, counted from zero."""
        return self.num_episodes * (number + 1) // (self.rounds + 1)


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What is usual where the recordings have been.

    Attributes:
        doubt: how far the members disagree about a step from a recorded moment, at the most.
        step: how far a recorded model step goes, at the most, as a root mean squared difference.
    """

    doubt: float
    step: float


@torch.no_grad()
def usual(model: Model, data: Dataset, episodes: Sequence[int]) -> Usual:
    """What is usual in the newest of some recorded episodes.

    Args:
        model: an ensemble.
        data: the recordings.
        episodes: those that count.

    Raises:
        ForethoughtError: see :func:`curious`.
    """
    check_recorded(model, data, None)
    arrays = data.load(
        list(episodes)[-EXAMINED_EPISODES:],
        keys=list(model.world_model.perception.keys),
        image_size=model.image_size,
    )
    recorded = LatentEpisodes.of(model.world_model, arrays)
    rows, _ = recorded.starts()
    steps = recorded.latents[rows + recorded.block] - recorded.latents[rows]
    moments = recorded.latents[rows[:: max(1, len(rows) // EXAMINED_MOMENTS)]]
    return Usual(
        doubt=float(_doubt(model, moments.to(model.device)).quantile(ENOUGH)),
        step=float(steps.square().mean((-1, -2)).sqrt().quantile(ALIKE)),
    )


def _doubt(model: Model, latents: Float[Tensor, "n k d"]) -> Float[Tensor, " n"]:
    """How far the members disagree about a step, on average over random ones that are held."""
    space = model.world_model.action_space
    generator = torch.Generator().manual_seed(0)
    width = len(space.low) // space.block
    shares = torch.rand(PUSHES, width, generator=generator).repeat(1, space.block).to(space.low)
    pushes = space.project(space.low + (space.high - space.low) * shares)
    candidates = pushes[None, :, None].expand(len(latents), -1, -1, -1)
    spread = model.world_model.imagine(latents, candidates).spread
    if spread is None:
        raise ForethoughtError(
            "curiosity asks where the members of an ensemble disagree, and this world model is a "
            "single one. Train with ensemble_of(config, members)."
        )
    return spread.mean((1, 2))


def explore(
    world: World,
    path: Path | str,
    training: Callable[[Signature], TrainConfig],
    runs: Path | str,
    config: ExplorationConfig | None = None,
    *,
    guardrails: Sequence[Guardrail] = (),
    first: Callable[[World, int], Behaviour] = wander,
    known: Callable[[Model, Dataset, Sequence[int]], Usual] = usual,
    seed: int = 0,
    visible: bool = True,
) -> Dataset:
    """Records a world that is explored by curiosity; killed and called again, it goes on.

    Args:
        world: what is explored; its copies run in lockstep.
        path: folder of the dataset.
        training: of the world model on what was collected; its predictor becomes an ensemble.
        runs: folder of the runs, one of each round.
        config: how much, and how.
        guardrails: what must hold meanwhile, where ``training`` calibrates. They need a world
            model, so they hold from the first round on, and nothing keeps the first share within
            them but how it is collected.
        first: how the first share is collected, see :mod:`forethought.data.behaviours`; the world's
            own exploring where not said.
        known: tells what is usual there, see :func:`usual`.
        seed: of everything.
        visible: show progress.

    Raises:
        ForethoughtError: there are guardrails, and ``training`` calibrates nothing; the path is in
            use by another recording; or training fails.
    """
    config = config or ExplorationConfig()
    learning = training(recorded_signature(world))
    if guardrails and not (learning.probes and learning.calibration):
        raise ForethoughtError(
            f"exploring within guardrails ({', '.join(one.name for one in guardrails)}) needs a "
            "training that calibrates; give one with probes=... and calibration=..."
        )

    def collect(until: int, behaviour: Callable[[World, int], Behaviour]) -> Dataset:
        return record(
            world,
            path,
            num_episodes=until,
            episode_length=config.episode_length,
            seed=seed,
            resume=True,
            visible=visible,
            behaviour=behaviour,
        )

    dataset = collect(config.until(0), first)
    for number in range(config.rounds):
        if dataset.num_episodes >= config.until(number + 1):
            continue
        model = _learned(
            dataset,
            replace(ensemble_of(training(dataset.signature), config.members), seed=seed),
            Path(runs) / f"round-{number}",
            visible=visible,
        )
        seen = range(config.until(number))
        behaviour = curious(model, dataset, config.planner, guardrails, episodes=seen, known=known)
        dataset = collect(config.until(number + 1), behaviour)
    return dataset


def _learned(data: Dataset, config: TrainConfig, folder: Path, *, visible: bool) -> Model:
    """What the round's run has learned, or learns now; collecting may have gone on since."""
    if (folder / SUMMARY).exists():
        return load_model(folder)
    return train(data, config, folder, resume=True, visible=visible)


def curious(
    model: Model,
    data: Dataset,
    planner: Planner,
    guardrails: Sequence[Guardrail] = (),
    *,
    episodes: Sequence[int] | None = None,
    known: Callable[[Model, Dataset, Sequence[int]], Usual] = usual,
) -> Callable[[World, int], Behaviour]:
    """A behaviour for recording: agents that seek what a world model does not know.

    Args:
        model: an ensemble.
        data: what it was trained on.
        planner: their search.
        guardrails: what must hold meanwhile.
        episodes: of the data; all where not said.
        known: tells what is usual there, which is what their curiosity is measured by.

    Raises:
        ForethoughtError: the world model is a single one, or the data are not what it perceives.
    """
    told = known(model, data, range(data.num_episodes) if episodes is None else episodes)

    def begin(world: World, seed: int) -> Behaviour:
        looked_at: list[Tensor] = []

        def lately() -> Float[Tensor, "b m k d"] | None:
            return torch.cat(looked_at, dim=1)[:, -REMEMBERED:] if looked_at else None

        agent = Agent(
            model,
            cost=curiosity(enough=told.doubt, looked_at=lately, radius=told.step),
            actor=planner,
            guardrails=guardrails,
            safety=SafetyConfig(),
            num_agents=world.num_worlds,
            seed=seed,
        )

        def act(observation: Observation) -> np.ndarray:
            decision = agent.act_batch(observation)
            if decision.plan is not None and decision.plan_step == 0:
                # What it set out for, too: it may never come there.
                looked_at.append(decision.plan.imagination.latents[:, 0])
            return decision.action

        return act

    return begin


def ensemble_of(config: TrainConfig, members: int) -> TrainConfig:
    """The same training with several predictors in place of one, which learn apart in as many steps
    as pretraining has; a linear start, which a single one has, is left out. Ensembles stay as they
    are."""
    predictor, objective = config.world_model.predictor, config.objective
    if isinstance(predictor, EnsembleConfig):
        return config
    if isinstance(objective, JEPAConfig):
        objective = replace(objective, start=None)
    several = EnsembleConfig(member=predictor, num_members=members)
    return replace(
        config,
        world_model=replace(config.world_model, predictor=several),
        objective=objective,
        bootstrap=BootstrapConfig().with_steps(objective.optimiser.num_steps),
    )
