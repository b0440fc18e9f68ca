"""Conformance checkers: does your own class keep the promises of its place?

Each takes an instance and raises :class:`ForethoughtError` on the first broken promise: what was
found, what is expected, how to mend it. They are run on every part of this library in its tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.types import (
    ActionSpace,
    ArraySpec,
    Encoder,
    ForethoughtError,
    Imagination,
    Observation,
    Plan,
    Planner,
    PlanningProblem,
    Predictor,
    Regulariser,
    Scores,
    Signature,
    World,
)

BATCH = 3


# ------------------------------------------------------------------------------- networks


def check_encoder(encoder: Encoder, spec: ArraySpec, *, frame_stack: int = 1) -> None:
    """Tokens ``(n, k, d)``, finite, deterministic, independent of the batch, and trainable.

    Args:
        encoder: the encoder, in the mode in which it acts.
        spec: the observation key that it encodes.
        frame_stack: frames that make one observation.
    """
    values = _values(spec, (BATCH, frame_stack))
    kept = values.clone()
    tokens = encoder(values)
    _expect(tokens.ndim == 3 and len(tokens) == BATCH, "tokens (n, k, d)", tuple(tokens.shape))
    _check_function(lambda part: encoder(part), (values,), tokens, "encoder")
    _unchanged(values, kept, "the encoder's input")
    _trainable(tokens, "encoder")


def check_predictor(predictor: Predictor, *, tokens: int, width: int, action_width: int) -> None:
    """Latents of the same shape for every history up to the window, finite, deterministic,
    independent of the batch, with gradients to latents and actions.

    Args:
        predictor: the predictor, in the mode in which it acts; trained, or with random weights.
        tokens: k.
        width: d.
        action_width: a.
    """
    _expect(predictor.window >= 1, "a window of 1 or more", predictor.window)
    for steps in range(1, predictor.window + 1):
        _check_history(predictor, (steps, tokens, width), action_width)


def _check_history(predictor: Predictor, shape: tuple[int, int, int], action_width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = BATCH * predictor.num_members
    latents = torch.randn(batch, *shape, generator=generator).requires_grad_()
    actions = torch.randn(batch, shape[0], action_width, generator=generator).requires_grad_()
    kept = latents.detach().clone()
    predicted = predictor(latents, actions)
    wanted = (batch, *shape[1:])
    _expect(predicted.shape == wanted, f"{wanted} from {shape[0]} steps", tuple(predicted.shape))
    _check_function(predictor, (latents, actions), predicted, "predictor")
    _unchanged(latents.detach(), kept, "the predictor's latents")
    grads = torch.autograd.grad(predicted.square().sum(), (latents, actions), allow_unused=True)
    for name, grad in zip(("latents", "actions"), grads, strict=True):
        if grad is None or not torch.isfinite(grad).all():
            raise ForethoughtError(
                f"predictor: no finite gradient reaches the {name}; gradient planners need one. "
                "Do not detach, and use operations that can be differentiated."
            )


def check_regulariser(
    regulariser: Regulariser, *, tokens: int, width: int, action_width: int
) -> None:
    """A finite scalar with a gradient to the latents, whose randomness is the generator's.

    Args:
        regulariser: the regulariser.
        tokens: k.
        width: d.
        action_width: a.
    """

    def value() -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(0)
        latents = torch.randn(8, 5, tokens, width, generator=draw).requires_grad_()
        actions = torch.randn(8, 4, action_width, generator=draw)
        return regulariser(latents, actions, torch.Generator().manual_seed(1)), latents

    (first, latents), (second, _) = value(), value()
    _expect(first.ndim == 0, "a scalar", tuple(first.shape))
    _finite(first, "regulariser")
    if not torch.equal(first, second):
        raise ForethoughtError(
            "regulariser: two calls with equal generators differ; draw all random numbers from the "
            "generator that is passed."
        )
    (grad,) = torch.autograd.grad(first, latents, allow_unused=True)
    if grad is None or not torch.isfinite(grad).all() or not grad.abs().sum() > 0:
        raise ForethoughtError(
            "regulariser: no gradient reaches the latents, so it can keep nothing from collapsing."
        )


# ------------------------------------------------------------------------------- cost and search


def check_cost_term(
    bound: Callable[[Imagination], Float[Tensor, "b n h"]],
    *,
    tokens: int,
    width: int,
    action_width: int,
    horizon: int = 4,
) -> None:
    """Values ``(b, n, h)``, finite, the same for a candidate alone as among others, differentiable.

    Args:
        bound: the term, bound to an agent: ``term.bind(sight)``.
        tokens: k.
        width: d.
        action_width: a.
        horizon: h.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (1, 5, horizon)
    latents = torch.randn(1, 5, horizon + 1, tokens, width, generator=generator).requires_grad_()
    actions = torch.randn(*shape, action_width, generator=generator).requires_grad_()
    kept = latents.detach().clone()
    values = bound(Imagination(latents=latents, actions=actions))
    _expect(tuple(values.shape) == shape, f"(b, n, h) = {shape}", tuple(values.shape))
    _finite(values, "cost term")
    alone = bound(Imagination(latents=latents[:, 2:3], actions=actions[:, 2:3]))
    if not torch.allclose(values[:, 2:3], alone, atol=1e-4, rtol=1e-4):
        raise ForethoughtError(
            "cost term: a candidate costs something else alone than among others; do not take "
            "statistics over candidates."
        )
    _unchanged(latents.detach(), kept, "the imagination")
    grads = torch.autograd.grad(values.sum(), (latents, actions), allow_unused=True)
    if all(grad is None for grad in grads):
        raise ForethoughtError(
            "cost term: no gradient reaches latents or actions; gradient planners need one."
        )


def check_planner(planner: Planner, *, discrete: bool = False) -> None:
    """Finds the optimum of a quadratic in two worlds, repeats itself, keeps bounds and deadline,
    finds for each world what it finds for it alone, and nothing worse in more time.

    Args:
        planner: the planner, with a horizon of two model steps or more.
        discrete: whether it chooses among discrete actions.
    """
    targets = torch.tensor([[0.4, -0.3], [-0.5, 0.2]])
    problem = _quadratic(targets, discrete)
    first, second = (_planned(planner, problem) for _ in range(2))
    if not torch.equal(first.actions, second.actions):
        raise ForethoughtError(
            "planner: two searches with equal generators differ; draw all random numbers from the "
            "generator that is passed."
        )
    _expect(first.actions.ndim == 3 and len(first.actions) == 2, "(b, h, a)", first.actions.shape)
    if not torch.allclose(first.actions, problem.space.project(first.actions), atol=1e-5):
        raise ForethoughtError("planner: actions leave their box; use space.project.")
    if float(first.energy.max()) > 0.1:
        raise ForethoughtError(
            f"planner: on a quadratic the energy {float(first.energy.max()):.3f} is left, less "
            "than 0.1 is expected; check ranking and refitting, or give it more candidates."
        )
    for world in range(2):
        alone = _planned(planner, _quadratic(targets[world : world + 1], discrete))
        if not torch.allclose(alone.actions[0], first.actions[world], atol=1e-4):
            raise ForethoughtError(
                "planner: a world gets another plan alone than beside another; draw the noise once "
                "for all worlds, and take no statistics over them."
            )
    _check_more_time(planner, problem)
    _check_deadline(planner, problem)


def _planned(planner: Planner, problem: PlanningProblem, deadline_s: float | None = None) -> Plan:
    return planner.plan(problem, generator=torch.Generator().manual_seed(0), deadline_s=deadline_s)


def _check_more_time(planner: Planner, problem: PlanningProblem) -> None:
    """On a clock that only imagining moves, so that nothing else decides what is in time."""
    energies = []
    for deadline_s in (0.02, 0.1, 0.5, 2.5):
        elapsed = [0.0]

        def wait(seconds: float, elapsed: list[float] = elapsed) -> None:
            elapsed[0] += seconds

        timed = replace(_slow(problem, wait), now=lambda e=elapsed: e[0])
        energies.append(_planned(planner, timed, deadline_s).energy)
    for sooner, later in pairwise(energies):
        if bool((later > sooner + 1e-6).any()):
            raise ForethoughtError(
                f"planner: five times the time, and an energy of {float(later.max()):.3f} after "
                f"{float(sooner.max()):.3f}; keep the best of all rounds, and let what is tried "
                "not depend on the deadline."
            )


def _check_deadline(planner: Planner, problem: PlanningProblem, deadline_s: float = 0.05) -> None:
    """The best of a few tries counts: a busy machine may hold up any one of them."""
    taken = min(_seconds_with_deadline(planner, problem, deadline_s) for _ in range(4))
    if taken > deadline_s + 0.02:
        raise ForethoughtError(
            f"planner: {taken:.3f} s for a deadline of {deadline_s} s; evaluate as many candidates "
            "at a time as there is time for, and return the best plan so far."
        )


def _seconds_with_deadline(planner: Planner, problem: PlanningProblem, deadline_s: float) -> float:
    """How long a search takes whose every candidate is slow."""
    started = time.perf_counter()
    _planned(planner, _slow(problem, time.sleep), deadline_s)
    return time.perf_counter() - started


def _slow(problem: PlanningProblem, wait: Callable[[float], None]) -> PlanningProblem:
    """The same problem, imagined in five milliseconds and another for each candidate."""

    def late(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            wait(0.005 + 0.001 * arguments[-1].shape[1])
            return function(*arguments)

        return called

    assert problem.go_on is not None and problem.follow is not None
    return replace(
        problem,
        imagine=late(problem.imagine),
        go_on=late(problem.go_on),
        follow=late(problem.follow),
    )


PUSHES = ((0.0, 0.0), (0.4, 0.0), (-0.5, 0.0), (0.0, -0.3), (0.0, 0.2))
"""What discrete actions do to a state."""


def _quadratic(targets: Float[Tensor, "b 2"], discrete: bool) -> PlanningProblem:
    """States add up actions; the energy is the squared distance of the last from a target."""
    pushes = torch.tensor(PUSHES) if discrete else torch.eye(2)

    def follow(states: Tensor, actions: Tensor) -> Tensor:
        return states + (actions @ pushes).unsqueeze(-2)

    def go_on(imagination: Imagination, actions: Tensor) -> Imagination:
        began = imagination.latents[:, :, -1:, 0]
        ahead = began + (actions @ pushes).cumsum(2)
        return Imagination(
            latents=torch.cat([imagination.latents, ahead.unsqueeze(3)], dim=2),
            actions=torch.cat([imagination.actions, actions], dim=2),
        )

    def imagine(actions: Tensor) -> Imagination:
        start = actions.new_zeros(*actions.shape[:2], 1, 1, 2)
        return go_on(Imagination(latents=start, actions=actions[:, :, :0]), actions)

    def score(imagination: Imagination) -> Scores:
        gap = imagination.latents[:, :, -1, 0] - targets[:, None]
        energy = gap.square().sum(-1)
        feasible = torch.ones_like(energy, dtype=torch.bool)
        return Scores(energy=energy, terms={"gap": energy}, feasible=feasible)

    vectors = ActionSpace(low=-torch.ones(2), high=torch.ones(2))
    choices = ActionSpace(low=torch.zeros(5), high=torch.ones(5), num_choices=len(PUSHES))
    return PlanningProblem(
        imagine=imagine,
        score=score,
        go_on=go_on,
        follow=follow,
        space=choices if discrete else vectors,
        num_worlds=len(targets),
    )


# ------------------------------------------------------------------------------- worlds


def check_world(world: World, *, steps: int = 5) -> None:
    """Observations as the signature says; the same seed gives the same task, whatever the others.

    Args:
        world: the world; it is reset.
        steps: steps taken to look at it.
    """
    first = world.reset([11, 12, 13])
    _check_observation(world.signature, first, 3, "reset")
    _check_observation(world.signature, world.goal(), 3, "goal")
    explore = world.explore(0)
    observation = world.observe()
    for _ in range(steps):
        observation = world.step(explore(observation))
        _check_observation(world.signature, observation, 3, "step")
    for name, values in (
        ("succeeded", world.succeeded()),
        ("path_length", world.path_length()),
        *world.truth().items(),
        *world.groups().items(),
    ):
        _expect(np.shape(values) == (3,), "one value per copy (3,)", f"{name} {np.shape(values)}")
    _check_actions(world)
    again = world.reset([13])
    for key, values in again.items():
        if not np.array_equal(values[0], first[key][2]):
            raise ForethoughtError(
                f"world {world.name!r}: seed 13 gives another {key!r} alone than beside others; "
                "let each task depend on its own seed only."
            )


def _check_actions(world: World) -> None:
    spec, actions = world.signature.action, np.asarray(world.oracle())
    shape = (3,) if spec.discrete else (3, spec.dim)
    _expect(actions.shape == shape, f"oracle actions {shape}", actions.shape)
    if spec.discrete:
        inside = ((actions >= 0) & (actions < spec.num_choices)).all()
    else:
        low, high = np.array(spec.low), np.array(spec.high)
        inside = ((actions >= low - 1e-5) & (actions <= high + 1e-5)).all()
    if not inside:
        raise ForethoughtError(f"world {world.name!r}: the oracle leaves the action bounds.")


def _check_observation(
    signature: Signature, observation: Observation, count: int, where: str
) -> None:
    _expect(
        set(observation) == set(signature.observation),
        f"keys {sorted(signature.observation)} from {where}",
        sorted(observation),
    )
    for key, spec in signature.observation.items():
        values = np.asarray(observation[key])
        wanted = ((count, *spec.shape), spec.dtype)
        _expect(
            (values.shape, str(values.dtype)) == wanted,
            f"{key!r} from {where} {wanted}",
            (values.shape, str(values.dtype)),
        )


# ------------------------------------------------------------------------------- shared


def _values(spec: ArraySpec, leading: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (*leading, *spec.shape)
    if spec.dtype == "uint8":
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return torch.randn(shape, generator=generator)


def _check_function(
    function: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    output: Tensor,
    name: str,
) -> None:
    """Finite, repeatable, and the same for one item (of each member) as for the batch."""
    _finite(output, name)
    if not torch.equal(function(*inputs), output):
        raise ForethoughtError(
            f"{name}: two calls with the same input differ; put it into eval mode, and draw random "
            "numbers only in training."
        )
    for i in range(BATCH):
        if torch.allclose(
            function(*(part[i::BATCH] for part in inputs)), output[i::BATCH], atol=1e-4, rtol=1e-3
        ):
            continue
        raise ForethoughtError(
            f"{name}: an item gives something else alone than in a batch; do not use batch "
            "statistics (BatchNorm), use GroupNorm or LayerNorm."
        )


def _trainable(output: Tensor, name: str) -> None:
    if not output.requires_grad:
        raise ForethoughtError(
            f"{name}: no gradient reaches its weights; register them as parameters, do not detach."
        )


def _finite(values: Tensor, name: str) -> None:
    if not torch.isfinite(values).all():
        raise ForethoughtError(f"{name}: gives NaN or infinite values; expected finite ones.")


def _unchanged(values: Tensor, kept: Tensor, what: str) -> None:
    if not torch.equal(values, kept):
        raise ForethoughtError(f"{what} was changed in place; return new tensors instead.")


def _expect(holds: bool, expected: object, found: object) -> None:
    if not holds:
        raise ForethoughtError(f"expected {expected}, found {found}.")


__all__: list[str] = [
    "check_cost_term",
    "check_encoder",
    "check_planner",
    "check_predictor",
    "check_regulariser",
    "check_world",
]
