"""What a recipe is: a named, complete configuration of everything from recording to acting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from forethought.actor import CEM, BeamSearch
from forethought.actor.gate import Gate
from forethought.agent import Agent
from forethought.cost.goal import goal
from forethought.cost.guardrail import Guardrail
from forethought.cost.terms import Cost, CostTerm
from forethought.evaluation.planning import PlanningProtocol
from forethought.evaluation.prediction import PredictionProtocol
from forethought.learning.distilling import DistillingConfig
from forethought.learning.train import TrainConfig
from forethought.memory import AttemptsConfig
from forethought.model import Model
from forethought.safety import SafetyConfig
from forethought.types import ForethoughtError, Observation, Planner, Signature


@dataclass(frozen=True, kw_only=True)
class Recording:
    """How much of a world is recorded.

    Attributes:
        world: name of the world.
        num_episodes: episodes.
        episode_length: rows of each.
        num_worlds: copies that are recorded in lockstep.
    """

    world: str
    num_episodes: int
    episode_length: int
    num_worlds: int = 50


@dataclass(frozen=True, kw_only=True)
class Acting:
    """How an agent of this recipe plans.

    Attributes:
        planner: the search.
        goal: cost that seeks a goal observation.
        replan_every: world steps of a plan that are executed; None for one model step.
        num_outcomes: futures imagined per candidate, where the model has a latent variable.
        attempts: when an imagined step counts as tried in vain; None to keep no account.
    """

    planner: Planner
    goal: Callable[..., Cost | CostTerm] = goal
    replan_every: int | None = None
    num_outcomes: int = 1
    attempts: AttemptsConfig | None = None

    def agent(
        self,
        model: Model,
        goals: Observation,
        num_agents: int,
        *,
        seed: int = 0,
        guardrails: Sequence[Guardrail] = (),
        safety: SafetyConfig | None = None,
        gate: Gate | None = None,
        replan_every: int | None = None,
    ) -> Agent:
        """An agent that seeks goal observations ``(b, ...)``.

        Args:
            model: what it has learned.
            goals: one for each agent.
            num_agents: ``b``.
            seed: of the agent.
            guardrails: what must hold on the way.
            safety: how it keeps within them.
            gate: when its policy answers in place of a search; None to search always.
            replan_every: world steps that are executed; None for as many as it always executes.

        Raises:
            ForethoughtError: goals without something that the model perceives.
        """
        needed = model.world_model.perception.keys
        if missing := [key for key in needed if key not in goals]:
            raise ForethoughtError(
                f"the model perceives {missing[0]!r}, and goals show {sorted(goals)}; give a world "
                "or goals like those that the run was trained on."
            )
        seen = {key: goals[key] for key in needed}
        return Agent(
            model,
            cost=self.goal(observation=seen),
            actor=self.planner,
            num_agents=num_agents,
            replan_every=replan_every or self.replan_every,
            num_outcomes=self.num_outcomes,
            attempts=self.attempts,
            guardrails=guardrails,
            safety=safety,
            gate=gate,
            seed=seed,
        )


def usual_acting(signature: Signature) -> Acting:
    """How agents plan where no recipe says: chosen by ``make bench NAME=planning_quality``.

    With continuous actions and 128 candidates or more none reaches more goals than CEM, and those
    that find lower energies need gradients and take several times as long. With discrete ones beam
    search finds lower energies with 32 candidates than any other planner with as many.

    Args:
        signature: of the model.
    """
    return Acting(planner=BeamSearch() if signature.action.discrete else CEM())


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a job needs, under one name.

    Attributes:
        name: what ``--recipe`` calls it.
        description: one line for people.
        training: the training run for data of a signature.
        acting: how agents plan; None for recordings without a simulator.
        recording: how data are recorded; None for recordings of the real world.
        planning: how planning is measured.
        prediction: how prediction is measured.
        distilling: how a policy is distilled from its plans.
    """

    name: str
    description: str
    training: Callable[[Signature], TrainConfig]
    acting: Acting | None = None
    recording: Recording | None = None
    planning: PlanningProtocol = field(default_factory=PlanningProtocol)
    prediction: PredictionProtocol = field(default_factory=PredictionProtocol)
    distilling: DistillingConfig = field(default_factory=DistillingConfig)
