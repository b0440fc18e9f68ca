"""A plan on a GPU: a model of LeWorldModel's published size, its published planner, and the roof.

    python benchmarks/planning_gpu.py
    python benchmarks/planning_gpu.py --device cpu      a rehearsal at a small size; keeps nothing

300 samples, 30 iterations, a horizon of 5 blocks, one observation at 224 pixels; random weights,
whose gates are open so that candidates differ. A plan is everything from the pictures to the
actions. It is timed

    eager       as the library runs it: every operation is launched by itself
    recorded    a whole round of the search, imagination and refitting, is recorded once as a CUDA
                graph and played back
    compiled    the same with imagination fused by torch.compile first

in float32, TF32 and bfloat16. Beside it stand the energies and elites of the same candidates in
eager float32, and the least time that the roofline allows: operations over the measured rate of
large matrix products, or bytes over the measured bandwidth, whichever is slower.
"""

from __future__ import annotations

import contextlib
import copy
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from forethought.actor import CEM
from forethought.actor.search import Box
from forethought.evaluation.roofline import Peaks, measure_peaks, rollout_work, seconds
from forethought.perception import PerceptionConfig
from forethought.recipes.stock import Stock, lewm
from forethought.types import Imagination, PlanningProblem, Scores, gather
from forethought.world_model import CausalTransformerConfig, LeWMEncoderConfig, Predictor
from forethought.world_model.world_model import WorldModel
from harness import Benchmark, Figure, figure, main

REPEATS = 20
LEFT_OUT = 3


# ------------------------------------------------------------------------------- what is searched


@dataclass(frozen=True)
class Task:
    """What is seen, what is sought, and how it is searched.

    Attributes:
        seen: what the camera shows.
        sought: what it is to show.
        planner: the search.
    """

    seen: UInt8[Tensor, "1 1 height width 3"]
    sought: UInt8[Tensor, "1 1 height width 3"]
    planner: CEM


Latent = Float[Tensor, "1 k d"]


def encode(world_model: WorldModel, task: Task) -> tuple[Latent, Latent]:
    """The present and the goal."""
    (camera,) = world_model.signature.cameras
    both = torch.cat([task.seen, task.sought])
    present, target = world_model.encode({camera: both}).split(1)
    return present, target


def energies(imagination: Imagination, target: Latent) -> Float[Tensor, "1 n"]:
    """LeWM's: the squared distance of the last latent from the goal's."""
    return (imagination.latents[:, :, -1] - target[:, None]).square().sum((-1, -2))


# ------------------------------------------------------------------------------- how it is searched

Plans = Callable[[torch.Generator], Float[Tensor, "1 h a"]]
"""Makes a plan from random numbers."""


def eager(world_model: WorldModel, task: Task) -> Plans:
    """Plans as the library makes them."""

    def plan(generator: torch.Generator) -> Float[Tensor, "1 h a"]:
        present, target = encode(world_model, task)

        def score(imagination: Imagination) -> Scores:
            energy = energies(imagination, target)
            return Scores(
                energy=energy, terms={"goal": energy}, feasible=torch.ones_like(energy).bool()
            )

        problem = PlanningProblem(
            imagine=partial(world_model.imagine, present),
            score=score,
            space=world_model.action_space,
            num_worlds=1,
        )
        return task.planner.plan(problem, generator=generator).actions.cpu()

    return plan


def recorded(world_model: WorldModel, task: Task) -> Plans:
    """The same plans from a round that is played back; random numbers come from outside."""
    planner, space = task.planner, world_model.action_space
    box, shape = Box.of(space), (1, planner.horizon, space.dim)
    seen = Playback(lambda: encode(world_model, task))
    present, target = seen()

    def round_(mean: Tensor, std: Tensor, best: Tensor, least: Tensor, noise: Tensor) -> State:
        units = (mean[:, None] + std[:, None] * noise).clamp(-1, 1)
        energy = energies(world_model.imagine(present, box.actions(units)), target)
        order = energy.argsort(dim=1, stable=True)[:, : planner.num_elites]
        elites, first = gather(units, order), energy.gather(1, order[:, :1])
        spread = elites.std(1, correction=0).clamp_min(planner.smallest_std)
        better = first < least
        best = torch.where(better[..., None], elites[:, 0], best)
        return elites.mean(1), spread, best, torch.where(better, first, least)

    def begin() -> State:
        zero = torch.zeros(shape, device=present.device)
        least = torch.full((1, 1), torch.inf, device=present.device)
        return zero, zero + planner.initial_std, zero, least

    def noise(generator: torch.Generator) -> Tensor:
        sizes = (1, planner.num_samples, *shape[1:])
        drawn = torch.randn(sizes, generator=generator, device=present.device)
        drawn[:, 0] = 0
        return drawn

    play = Playback(round_, *begin(), noise(torch.Generator(present.device)))

    def plan(generator: torch.Generator) -> Float[Tensor, "1 h a"]:
        seen()
        state = begin()
        for _ in range(planner.num_iterations):
            state = play(*state, noise(generator))
        return box.actions(state[2]).cpu()

    return plan


State = tuple[Tensor, Tensor, Tensor, Tensor]
"""Mean and deviation of the candidates to come, the best yet, and its energy."""


class Playback:
    """A call whose operations are recorded once and then played back together.

    A CUDA graph; on other devices the call itself. What it answers is overwritten by the next call.

    Args:
        call: of tensors, to tensors, with no look at their values on the way.
        examples: arguments of the shapes that it is going to have.
    """

    def __init__(self, call: Callable[..., tuple[Tensor, ...]], *examples: Tensor) -> None:
        self.call, self.kept = call, [example.clone() for example in examples]
        self.answers = call(*self.kept)
        self.graph = None
        if self.answers[0].device.type == "cuda":
            self._record()

    def _record(self) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(LEFT_OUT):
                self.call(*self.kept)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.answers = self.call(*self.kept)

    def __call__(self, *values: Tensor) -> tuple[Tensor, ...]:
        """What the call answers."""
        for kept, value in zip(self.kept, values, strict=True):
            kept.copy_(value)
        if self.graph is None:
            self.answers = self.call(*self.kept)
        else:
            self.graph.replay()
        return self.answers


# ------------------------------------------------------------------------------- its arithmetic


@dataclass(frozen=True)
class Way:
    """A way to compute plans.

    Attributes:
        arithmetic: of matrix products.
        search: how rounds are run.
        compiled: whether imagination is fused first.
    """

    arithmetic: str
    search: Callable[[WorldModel, Task], Plans]
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.arithmetic}, {'compiled' if self.compiled else self.search.__name__}"

    def of(self, world_model: WorldModel) -> WorldModel:
        """The world model as this way computes it."""
        if self.arithmetic == "bfloat16":
            world_model = in_bfloat16(world_model)
        if self.compiled:
            predictor = copy.copy(world_model.predictor)
            predictor.unroll = torch.compile(predictor.unroll, dynamic=False)
            world_model = exchanged(world_model, predictor)
        return world_model

    @contextlib.contextmanager
    def chosen(self) -> Iterator[None]:
        """With float32 products in full, or in TF32."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.arithmetic == "tf32" else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


WAYS = (
    Way("float32", eager),
    Way("tf32", eager),
    Way("bfloat16", eager),
    Way("float32", recorded),
    Way("tf32", recorded),
    Way("bfloat16", recorded),
    Way("tf32", recorded, compiled=True),
    Way("bfloat16", recorded, compiled=True),
)
"""The first is what the others are compared with."""


class InBrainFloat(Predictor):
    """A predictor that computes in bfloat16, told and answering in float32."""

    def __init__(self, inner: Predictor) -> None:
        super().__init__()
        self.inner = copy.deepcopy(inner).bfloat16()
        self.window, self.num_members = inner.window, inner.num_members

    def forward(self, latents: Tensor, actions: Tensor) -> Tensor:
        """See :class:`Predictor`."""
        return self.inner(latents.bfloat16(), actions.bfloat16()).float()

    def unroll(self, latents: Tensor, actions: Tensor) -> Tensor:
        """See :class:`Predictor`."""
        return self.inner.unroll(latents.bfloat16(), actions.bfloat16()).float()


def in_bfloat16(world_model: WorldModel) -> WorldModel:
    """The same world model, whose predictor computes in bfloat16."""
    return exchanged(world_model, InBrainFloat(world_model.predictor))


def exchanged(world_model: WorldModel, predictor: Predictor) -> WorldModel:
    """The same world model with another predictor."""
    twin = copy.copy(world_model)
    twin._modules = {**world_model._modules, "predictor": predictor}
    return twin


# ------------------------------------------------------------------------------- what is measured


@dataclass(frozen=True)
class Bench:
    """One model, one task, one machine."""

    world_model: WorldModel
    task: Task
    peaks: Peaks
    repeats: int

    @classmethod
    def at(cls, one: Stock, device: torch.device, seed: int, repeats: int) -> Bench:
        """A stock model, and pictures of noise."""
        generator = torch.Generator().manual_seed(seed)
        model = one.build(seed)
        (spec,) = one.signature.observation.values()
        pictures = torch.randint(
            0, 256, (2, 1, 1, *spec.shape), generator=generator, dtype=torch.uint8
        )
        assert isinstance(one.acting.planner, CEM)
        return cls(
            world_model=model.to(device).world_model,
            task=Task(*pictures.to(device), planner=one.acting.planner),
            peaks=measure_peaks(device),
            repeats=repeats,
        )

    def machine(self) -> list[Figure]:
        """What it can do."""
        return [
            *[
                figure(f"large products, {name}", rate / 1e12, unit="TFLOP/s")
                for name, rate in self.peaks.gemm.items()
            ],
            figure("memory", self.peaks.bandwidth / 1e9, unit="GB/s"),
        ]

    @torch.no_grad()
    def measure(self, way: Way) -> list[Figure]:
        """Time, memory and numbers of one way."""
        with way.chosen():
            world_model = way.of(self.world_model)
            plan = way.search(world_model, self.task)
            median, memory = self._timed(way, plan)
            found = self._judged(world_model)
        with WAYS[0].chosen():
            expected = self._judged(self.world_model)
        least, elites = self._least_seconds(way), self.task.planner.num_elites
        wrong = ((found - expected).abs() / expected).max()
        mine, others = (values.argsort(dim=1)[:, :elites] for values in (found, expected))
        shared = (mine[:, :, None] == others[:, None]).any(-1).float().mean()
        return [
            figure(f"{way}: a plan", 1000 * median, unit="ms", n=self.repeats),
            figure(f"{way}: least time by the roofline", 1000 * least, unit="ms"),
            figure(f"{way}: share of the roofline", least / median),
            *memory,
            figure(f"{way}: energies, largest relative difference", float(wrong)),
            figure(f"{way}: elites that are float32's", float(shared)),
        ]

    def _timed(self, way: Way, plan: Plans) -> tuple[float, list[Figure]]:
        """Median seconds of a plan, and the most memory that it took on a GPU."""
        device = self.task.seen.device
        generator = torch.Generator(device)
        for _ in range(LEFT_OUT):
            plan(generator.manual_seed(0))
        taken = [seconds(lambda: plan(generator), device) for _ in range(self.repeats)]
        memory = []
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device)
            memory = [figure(f"{way}: peak memory", peak / 2**20, unit="MiB")]
            torch.cuda.reset_peak_memory_stats(device)
        return statistics.median(taken), memory

    def _judged(self, world_model: WorldModel) -> Float[Tensor, "1 n"]:
        """Energies of the same candidates, from the same latents."""
        planner, space = self.task.planner, world_model.action_space
        present, target = encode(self.world_model, self.task)
        generator = torch.Generator(present.device).manual_seed(1)
        sizes = (1, planner.num_samples, planner.horizon, space.dim)
        drawn = torch.randn(sizes, generator=generator, device=present.device)
        candidates = Box.of(space).actions(planner.initial_std * drawn)
        return energies(world_model.imagine(present, candidates), target)

    def _least_seconds(self, way: Way) -> float:
        """Of the rounds of a plan, by the roofline."""
        planner = self.task.planner
        work = rollout_work(
            self.world_model,
            candidates=planner.num_samples,
            horizon=planner.horizon,
            width=2 if way.arithmetic == "bfloat16" else 4,
        )
        peak = self.peaks.of(way.arithmetic)
        return planner.num_iterations * work.least_seconds(peak, self.peaks.bandwidth)


def rehearsal() -> Stock:
    """The same make and search at a small size."""
    one = lewm()
    ((camera, spec),) = one.signature.observation.items()
    encoder = LeWMEncoderConfig(width=24, hidden=24, depth=1, mlp_width=32, head_hidden=32)
    world_model = replace(
        one.config.world_model,
        perception=PerceptionConfig(encoders={camera: encoder}),
        predictor=CausalTransformerConfig(window=3, depth=2, heads=2, head_width=8, mlp_width=32),
    )
    planner = CEM(horizon=5, num_samples=20, num_iterations=4, num_elites=5)
    return replace(
        one,
        signature=replace(one.signature, observation={camera: replace(spec, shape=(28, 28, 3))}),
        config=replace(one.config, world_model=world_model),
        acting=replace(one.acting, planner=planner),
    )


def measure(benchmark: Benchmark) -> None:
    if not (benchmark.device or torch.cuda.is_available()):
        sys.exit("no CUDA device here; --device cpu rehearses at a small size")
    device = torch.device(benchmark.device or "cuda")
    benchmark.rehearsal = device.type != "cuda"
    one, repeats = (rehearsal(), 3) if benchmark.rehearsal else (lewm(), REPEATS)
    bench = Bench.at(one, device, benchmark.seeds[0], repeats)
    benchmark.part(f"{device.type} machine", lambda _: bench.machine())
    for way in WAYS:
        # TF32 is a GPU's, and what is fused for a processor says nothing of it.
        if way.arithmetic in bench.peaks.gemm and not (benchmark.rehearsal and way.compiled):
            benchmark.part(f"{device.type} {way}", lambda _, way=way: bench.measure(way))
    fastest = min(one.value for one in benchmark.figures if one.name.endswith(": a plan"))
    goal = None if benchmark.rehearsal else "<= 30"
    benchmark.add(figure("the fastest plan", fastest, goal, unit="ms"))


if __name__ == "__main__":
    main("planning_gpu", measure)
