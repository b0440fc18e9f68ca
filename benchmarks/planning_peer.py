"""Planning beside stable-worldmodel: the same weights, observation, goal and candidates.

    FORETHOUGHT_PEER=FOLDER taskset -c 0 python benchmarks/planning_peer.py [--resume] [--only PART]

Setting up the peer
    FOLDER is a folder of its own, so that nothing of it reaches our environment:

        pip install --target FOLDER --no-deps einops \\
            git+https://github.com/galilai-group/stable-worldmodel@addbab4

    transformers has to be installed beside Forethought (``forethought[hub]``); the encoder is the
    ``ViTModel`` that stable-pretraining's ``vit_hf`` builds, so that package is not needed.

What is compared
    A LeWorldModel of the published size (18 M parameters, 224 pixels) with random weights; gates
    that training opens are open, so that candidates differ. The peer's own ``CEMSolver`` on its own
    ``ShootingCostEvaluator`` with ``GoalMSE``: 300 samples, 30 iterations, 30 elites, a horizon of
    5 blocks of 5 actions, one observation. Ours is an ``Agent`` on the same checkpoint, imported
    with ``import_lewm``. The energy is LeWM's, the squared distance of the last imagined latent
    from the goal's, summed over its numbers: ``goal(distance=..., running=0)``; our own default is
    the root of the mean, at every step. The peer does not bound actions; the box here ends at ten
    standard deviations, which no candidate reaches. Both refit a Gaussian to the elites; the peer
    divides their variance by 29, we by 30. So energies are compared on the peer's own candidates,
    and times at equal numbers of candidates.

How it is timed
    On one thread, in seconds of the thread's own processor time, which is what a clock shows where
    nobody else wants the core. Rounds of the peer, of ours and of large matrix products take turns.
    Both run in one process, whose allocator keeps freed memory, which helps both.

Parts
    ``same``: a whole decision of each, energies and elites. ``rounds``: times of one round, and
    shares of what the processor can multiply. On weights that know two rooms (lewm_trained.py, made
    where they are missing) ``peers-settings``: success with them, exact, which takes half an hour;
    and ``everything-on``: with few candidates in bfloat16, in the units that are fastest.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from forethought import worlds
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import Cost, goal
from forethought.evaluation.roofline import products, rollout_work
from forethought.evaluation.statistics import wilson
from forethought.model import Model, ModelConfig
from forethought.senses import sight_of
from forethought.types import ActionSpec, Observation, Plan
from forethought.world_model.fast import accelerate
from forethought.world_model.lewm import PIXEL_MEAN, PIXEL_STD, import_lewm
from forethought.world_model.world_model import WorldModel
from harness import WORK, Benchmark, Figure, estimate, figure, main
from lewm_fixture import build, construct, import_peer
from lewm_import import PUBLISHED
from lewm_trained import SMALL, Teacher, known

SAMPLES, ITERATIONS, ELITES, HORIZON, BLOCK = 300, 30, 30, 5, 5
FARTHEST = 10.0
"""Where actions end, in standard deviations: beyond all candidates."""
TURNS = 9
SIDE = 2048
"""Of the square matrices whose product is what the machine can do."""


# ------------------------------------------------------------------------------- the two sides


@dataclass(frozen=True)
class Scene:
    """What is seen and what is sought: uint8 pictures ``(height, width, 3)``."""

    seen: np.ndarray
    sought: np.ndarray

    @classmethod
    def drawn(cls, side: int, seed: int) -> Scene:
        """Pictures of noise."""
        return cls(*np.random.default_rng(seed).integers(0, 256, (2, side, side, 3), np.uint8))


@dataclass(frozen=True)
class Search:
    """The rounds of a decision, and what it took.

    Attributes:
        candidates: of each round.
        energies: of each of them, as the library found them.
        actions: what was decided.
        seconds: of the whole decision.
    """

    candidates: Float[Tensor, "r n h a"]
    energies: Float[Tensor, "r n"]
    actions: Float[Tensor, "1 h a"]
    seconds: float


@dataclass(frozen=True)
class Peer:
    """stable-worldmodel's planner on its own model."""

    model: Any

    def decide(self, scene: Scene, seed: int) -> Search:
        """One whole decision."""
        from stable_worldmodel.planning import CEMSolver  # type: ignore[import-not-found]

        rounds = _Rounds()
        solver = CEMSolver(
            self._evaluator(self.model),
            num_samples=SAMPLES,
            n_steps=ITERATIONS,
            topk=ELITES,
            seed=seed,
            callbacks=[rounds],
        )
        solver.configure(
            action_space=Box(-1, 1, (1, 2)),
            n_envs=1,
            config=SimpleNamespace(horizon=HORIZON, action_block=BLOCK),
        )
        info = self._info(scene)
        started = time.thread_time()
        with contextlib.redirect_stdout(io.StringIO()):
            found = solver.solve(info)
        seconds = time.thread_time() - started
        return Search(
            torch.stack(rounds.candidates), torch.stack(rounds.energies), found["actions"], seconds
        )

    def energies(self, scene: Scene) -> Energies:
        """Its energies; both pictures are encoded at the first call."""
        evaluator = self._evaluator(self.model)
        info = {
            key: value.unsqueeze(1).expand(1, SAMPLES, *value.shape[1:])
            for key, value in self._info(scene).items()
        }
        return lambda candidates: evaluator.get_cost(info, candidates)

    def flop(self) -> int:
        """Operations of one round, counted by running it without numbers."""
        width = self.model.predictor.input_dim
        info = {
            "pixels": torch.empty(1, SAMPLES, 1, 0, device="meta"),  # only its length is looked at
            "emb": torch.empty(1, SAMPLES, 1, width, device="meta"),
            "goal_emb": torch.empty(1, 1, width, device="meta"),
        }
        evaluator = self._evaluator(copy.deepcopy(self.model).to("meta"))
        with FlopCounterMode(display=False) as counter:
            candidates = torch.empty(1, SAMPLES, HORIZON, 2 * BLOCK, device="meta")
            evaluator.get_cost(info, candidates)
        return counter.get_total_flops()

    def _evaluator(self, model: Any) -> Any:
        from stable_worldmodel.planning import GoalMSE, ShootingCostEvaluator

        return ShootingCostEvaluator(model, GoalMSE())

    def _info(self, scene: Scene) -> dict[str, Tensor]:
        """What its solver is told of one world."""
        mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
        seen, sought = (
            ((torch.as_tensor(picture) / 255 - mean) / std).permute(2, 0, 1)[None, None]
            for picture in (scene.seen, scene.sought)
        )
        return {"pixels": seen, "goal": sought, "action": torch.zeros(1, 1, 2 * BLOCK)}


class _Rounds:
    """What the peer's solver calls back: keeps the candidates of each round."""

    output_key = "rounds"

    def __init__(self) -> None:
        self.candidates: list[Tensor] = []
        self.energies: list[Tensor] = []
        self.history: list[object] = []

    def reset(self) -> None:
        """A search begins."""

    def start_batch(self) -> None:
        """Its only batch begins."""

    def end_solve(self) -> None:
        """It ended."""

    def __call__(self, *, candidates: Tensor, costs: Tensor, **others: object) -> None:
        """A round ended."""
        self.candidates.append(candidates[0].clone())
        self.energies.append(costs[0].clone())


Energies = Callable[[Float[Tensor, "1 n h a"]], Float[Tensor, "1 n"]]


@dataclass(frozen=True)
class Ours:
    """An agent on the same weights."""

    model: Model
    arithmetic: str = "float32"

    def decide(self, scene: Scene, seed: int) -> tuple[Plan, float]:
        """One whole decision, the goal's encoding included."""
        started = time.thread_time()
        agent = Agent(self.model, cost=self._cost(scene), actor=PLANNER, seed=seed)
        decision = agent.act({self._camera: scene.seen})
        assert decision.plan is not None
        return decision.plan, time.thread_time() - started

    def energies(self, scene: Scene) -> Energies:
        """Our energies; both pictures are encoded here."""
        world_model = self.model.world_model
        score = self._cost(scene).bind(sight_of(self.model))
        present = world_model.encode({self._camera: torch.as_tensor(scene.seen)[None, None]})
        return lambda candidates: score(world_model.imagine(present, candidates)).energy

    def _cost(self, scene: Scene) -> Cost:
        """LeWM's energy."""
        return Cost(terms=(goal(image=scene.sought, distance=squared_distance, running=0.0),))

    @property
    def _camera(self) -> str:
        return self.model.signature.cameras[0]


PLANNER = CEM(
    horizon=HORIZON,
    num_samples=SAMPLES,
    num_iterations=ITERATIONS,
    num_elites=ELITES,
    initial_std=1 / FARTHEST,
    smallest_std=0.0,
)


def squared_distance(start: Tensor, goal: Tensor) -> Tensor:
    """Of latents ``(..., k, d)``, summed over their numbers."""
    return (start - goal).square().sum((-1, -2))


def both(benchmark: Benchmark) -> tuple[Peer, dict[str, Ours]]:
    """The peer's model, and ours of its checkpoint."""
    peer: Any = build(import_peer(), PUBLISHED, torch.Generator().manual_seed(benchmark.seeds[0]))
    folder = benchmark.folder("checkpoint")
    (folder / "config.json").write_text(json.dumps(PUBLISHED))
    torch.save(peer.state_dict(), folder / "weights.pt")
    world_model = import_lewm(
        folder,
        action=ActionSpec(dim=2, low=(-FARTHEST, -FARTHEST), high=(FARTHEST, FARTHEST)),
        action_mean=(0.0, 0.0),
        action_std=(1.0, 1.0),
        rate_hz=10.0,
    )
    model = model_of(world_model)
    return Peer(peer), {"exact": Ours(model), "fast": Ours(fast(model), "bfloat16")}


def fast(model: Model) -> Model:
    """The same weights in the units that are fastest here; what was tried is printed."""
    accelerated = accelerate(model.world_model)
    print(accelerated.report)
    return model_of(accelerated)


def model_of(world_model: WorldModel) -> Model:
    """A world model as agents take it."""
    normalisers = {"action": world_model.action_normaliser}
    model = Model(ModelConfig(world_model=world_model.config), world_model.signature, normalisers)
    model.world_model = world_model
    return model.eval()


# ------------------------------------------------------------------------------- what is measured

FASTER = {"exact": ">= 2", "fast": ">= 6"}
"""Goals: the peer's time over ours."""
AGREES = {"exact": "<= 0.0001", "fast": None}
"""Goals: the largest relative difference of energies."""


def same(peer: Peer, ours: Mapping[str, Ours], scene: Scene, seed: int) -> list[Figure]:
    """A whole decision of each, and what we make of the peer's candidates."""
    search = peer.decide(scene, seed)
    judged = peer.energies(scene)

    def energy(actions: Float[Tensor, "1 h a"]) -> float:
        return float(judged(actions.unsqueeze(1).expand(-1, SAMPLES, -1, -1))[0, 0])

    figures = [
        figure("peer: a decision", search.seconds, unit="s", n=1),
        figure("peer: energy of its plan", energy(search.actions)),
    ]
    for name, one in ours.items():
        plan, seconds = one.decide(scene, seed)
        figures += [
            figure(f"{name}: a decision", seconds, unit="s", n=1),
            figure(f"{name}: a decision, peer's time over ours", search.seconds / seconds),
            figure(f"{name}: energy of its plan, by the peer", energy(plan.actions)),
            *agreement(name, one.energies(scene), search),
        ]
    return figures


def agreement(name: str, energies: Energies, search: Search) -> list[Figure]:
    """Energies and elites on the peer's candidates, round by round."""
    found = torch.cat([energies(candidates[None]) for candidates in search.candidates])
    wrong = (found - search.energies).abs() / search.energies
    mine, theirs = (values.argsort(dim=1)[:, :ELITES] for values in (found, search.energies))
    shared = (mine[:, :, None] == theirs[:, None]).any(-1)
    rounds = len(found)
    return [
        figure(f"{name}: energies, largest relative difference", float(wrong.max()), AGREES[name]),
        figure(
            f"{name}: elites that are the peer's", float(shared.float().mean()), ">= 0.95", n=rounds
        ),
        figure(
            f"{name}: elites in the peer's order", float((mine == theirs).float().mean()), n=rounds
        ),
    ]


def rounds(peer: Peer, ours: Mapping[str, Ours], scene: Scene, seed: int) -> list[Figure]:
    """Times of one round, all in turns, and shares of what the processor can multiply."""
    generator = torch.Generator().manual_seed(seed)
    candidates = torch.randn(1, SAMPLES, HORIZON, 2 * BLOCK, generator=generator)
    planners = {"peer": peer.energies(scene)}
    planners |= {name: one.energies(scene) for name, one in ours.items()}
    square = torch.randn(SIDE, SIDE, generator=generator)
    multipliers = {name: make(square) for name, make in products(square.device).items()}
    taken = in_turns(
        {name: partial(planner, candidates) for name, planner in planners.items()} | multipliers
    )
    rates = {name: 2 * SIDE**3 / taken[name] for name in multipliers}
    figures = [
        *[figure(f"large products, {name}", r / 1e9, unit="GFLOP/s") for name, r in rates.items()],
        figure("peer: a round", taken["peer"], unit="s", n=TURNS),
        figure("peer: a round", peer.flop() / 1e9, unit="GFLOP"),
    ]
    for name, one in ours.items():
        work = rollout_work(ours["exact"].model.world_model, candidates=SAMPLES, horizon=HORIZON)
        best = max(rate for units, rate in rates.items() if units.startswith(one.arithmetic))
        share = work.flop / taken[name] / best
        figures += [
            figure(f"{name}: a round", taken[name], unit="s", n=TURNS),
            figure(f"{name}: a round", work.flop / 1e9, unit="GFLOP"),
            figure(f"{name}: peer's time over ours", taken["peer"] / taken[name], FASTER[name]),
            figure(f"{name}: share of large products, {one.arithmetic}", share, ">= 0.6"),
        ]
    return figures


def in_turns(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each call, all called in turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(TURNS):
        for name, call in calls.items():
            started = time.thread_time()
            call()
            taken[name].append(time.thread_time() - started)
    return {name: statistics.median(times) for name, times in taken.items()}


# ------------------------------------------------------------------------------- everything on

THOROUGH = replace(PLANNER, initial_std=0.76)
"""The peer's settings, its first deviation that of the recorded actions, which end at one."""
EVERYTHING = CEM(horizon=HORIZON, num_samples=128, num_iterations=8, num_elites=16)
"""As many candidates as it takes there, around what is left of the last plan."""
PEER = "two rooms, peer"
TASKS = 30
FIRST_TASK = 1_000_000
LONGEST = 100
"""World steps in an episode."""


class Eyes(nn.Module):
    """Sees as the teacher does: the encoder of these weights never learned to."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = [teacher]  # In a list, so that its weights do not become ours.

    def forward(self, values: Tensor) -> Float[Tensor, "n 1 d"]:
        """Of pictures ``(n, 1, height, width, 3)``."""
        (teacher,) = self.teacher
        (camera,) = teacher.model.signature.cameras
        return teacher.sees({camera: values}).unsqueeze(1)


def seeing(folder: Path) -> Model:
    """The weights that know two rooms, as a model that sees them."""
    world_model, teacher = known(folder)
    perception = world_model.perception
    perception.encoders = nn.ModuleDict({name: Eyes(teacher) for name in perception.encoders})
    return model_of(world_model)


def thorough(folder: Path) -> list[Figure]:
    """What the peer takes on the weights that know two rooms, and success with its settings."""
    peer = construct(import_peer(), SMALL)
    model = seeing(folder)
    peer.load_state_dict(load_file(folder / "weights.safetensors"))
    search = Peer(peer.eval()).decide(Scene.drawn(SMALL["encoder"]["image_size"], 0), 0)
    return [
        figure(f"{PEER}: a decision", search.seconds, unit="s", n=1),
        estimate(f"{PEER}'s settings: success", wilson(Way(model, THOROUGH).met()).to_json()),
    ]


def everything_on(folder: Path, before: Mapping[str, Figure]) -> list[Figure]:
    """The same with few candidates in bfloat16."""
    way = Way(fast(seeing(folder)), EVERYTHING)
    success, ours = wilson(way.met()), way.seconds()
    theirs = before[f"{PEER}: a decision"].value
    least = before[f"{PEER}'s settings: success"].value
    return [
        figure("two rooms, everything on: a decision", ours, unit="s"),
        figure("two rooms, everything on: peer's time over ours", theirs / ours, ">= 20"),
        estimate(
            "two rooms, everything on: success",
            success.to_json(),
            f">= {least:.4f} within the interval",
        ),
    ]


@dataclass(frozen=True)
class Way:
    """A model and how it is searched; whole plans are executed, as the peer does."""

    model: Model
    planner: CEM

    def agent(self, goals: Observation, num_agents: int) -> Agent:
        """One that seeks goals by LeWM's energy."""
        (camera,) = self.model.signature.cameras
        cost = goal(observation={camera: goals[camera]}, distance=squared_distance, running=0.0)
        steps = HORIZON * BLOCK
        return Agent(
            self.model, cost=cost, actor=self.planner, num_agents=num_agents, replan_every=steps
        )

    def met(self) -> np.ndarray:
        """Which of the tasks met their goal."""
        world = worlds.make("two_rooms", TASKS)
        observation = world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
        agent = self.agent(world.goal(), TASKS)
        met = np.zeros(TASKS, dtype=bool)
        for _ in range(LONGEST):
            observation = world.step(agent.act_batch(observation).action)
            met |= world.succeeded()
            if met.all():
                break
        return met

    def seconds(self) -> float:
        """Of a decision of a single agent, median; the goal's encoding included."""
        world, taken = worlds.make("two_rooms", 1), []
        for task in range(FIRST_TASK, FIRST_TASK + TURNS):
            observation = world.reset([task])
            started = time.thread_time()
            self.agent(world.goal(), 1).act_batch(observation)
            taken.append(time.thread_time() - started)
        return statistics.median(taken)


@torch.no_grad()
def measure(benchmark: Benchmark) -> None:
    peer, ours = both(benchmark)
    seed = benchmark.seeds[0]
    scene = Scene.drawn(PUBLISHED["encoder"]["image_size"], seed)
    for label, part in (("same", same), ("rounds", rounds)):
        benchmark.part(label, lambda _, part=part: part(peer, ours, scene, seed))
    trained = WORK / "lewm_trained"
    benchmark.part("peers-settings", lambda _: thorough(trained))
    before = {one.name: one for one in benchmark.figures}
    benchmark.part("everything-on", lambda _: everything_on(trained, before))


if __name__ == "__main__":
    main("planning_peer", measure)
