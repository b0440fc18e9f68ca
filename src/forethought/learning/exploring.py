"""Collecting data with no task: plan toward what the world model does not know, and learn it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost.curiosity import curiosity
from forethought.cost.guardrail import Guardrail
from forethought.data.behaviours import Behaviour
from forethought.data.behaviours import explore as wander
from forethought.data.record import record
from forethought.data.store import Dataset
from forethought.learning.folder import SUMMARY
from forethought.learning.train import TrainConfig, train
from forethought.model import Model, load_model
from forethought.safety import SafetyConfig
from forethought.types import ForethoughtError, Planner, Signature, World
from forethought.world_model import EnsembleConfig


@dataclass(frozen=True, kw_only=True)
class ExplorationConfig:
    """How a world is explored by what is not known of it.

    Attributes:
        num_episodes: in all.
        episode_length: rows of each.
        rounds: times that a world model is trained on what there is, before more is collected. The
            first share of episodes, as large as each later one, is the world's own exploring.
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
            horizon=5, num_samples=64, num_iterations=2, num_elites=8, shared_noise=0.9
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


def explore(
    world: World,
    path: Path | str,
    training: Callable[[Signature], TrainConfig],
    runs: Path | str,
    config: ExplorationConfig | None = None,
    *,
    guardrails: Sequence[Guardrail] = (),
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
            model, so they hold from the first round on; what the world's own exploring does before
            is its own.
        seed: of everything.
        visible: show progress.

    Raises:
        ForethoughtError: the path is in use by another recording, or training fails.
    """
    config = config or ExplorationConfig()

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

    dataset = collect(config.until(0), wander)
    for number in range(config.rounds):
        if dataset.num_episodes >= config.until(number + 1):
            continue
        model = _learned(
            dataset,
            replace(ensemble_of(training(dataset.signature), config.members), seed=seed),
            Path(runs) / f"round-{number}",
            visible=visible,
        )
        dataset = collect(config.until(number + 1), curious(model, config.planner, guardrails))
    return dataset


def _learned(data: Dataset, config: TrainConfig, folder: Path, *, visible: bool) -> Model:
    """What the round's run has learned, or learns now; collecting may have gone on since."""
    if (folder / SUMMARY).exists():
        return load_model(folder)
    return train(data, config, folder, resume=True, visible=visible)


def curious(
    model: Model, planner: Planner, guardrails: Sequence[Guardrail] = ()
) -> Callable[[World, int], Behaviour]:
    """A behaviour for recording: agents that seek what a world model does not know.

    Args:
        model: an ensemble.
        planner: their search.
        guardrails: what must hold meanwhile.
    """

    def begin(world: World, seed: int) -> Behaviour:
        agent = Agent(
            model,
            cost=curiosity(),
            actor=planner,
            guardrails=guardrails,
            safety=SafetyConfig(),
            num_agents=world.num_worlds,
            seed=seed,
        )

        return lambda observation: agent.act_batch(observation).action

    return begin


def ensemble_of(config: TrainConfig, members: int) -> TrainConfig:
    """The same training with several predictors in place of one; ensembles stay as they are."""
    predictor = config.world_model.predictor
    if isinstance(predictor, EnsembleConfig):
        return config
    several = EnsembleConfig(member=predictor, num_members=members)
    return replace(config, world_model=replace(config.world_model, predictor=several))
