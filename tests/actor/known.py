"""Problems whose best plans are known: a quadratic, a way around, a sprint, mazes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import torch

from forethought.types import ActionSpace, Imagination, PlanningProblem, Scores

LOW, HIGH = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 2.0])


def problem_of(
    step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    score: Callable[[Imagination], Scores],
    space: ActionSpace,
) -> PlanningProblem:
    """A world that is known exactly, with all that a problem may offer.

    Args:
        step: states ``(..., 1, d)`` and actions ``(..., a)`` to the next states.
        start: ``(b, d)``.
        score: of imaginations.
        space: the actions allowed.
    """

    def imagine(actions: torch.Tensor) -> Imagination:
        present = start[:, None, None, None].expand(-1, actions.shape[1], -1, -1, -1)
        empty = Imagination(latents=present, actions=actions[:, :, :0])
        return go_on(empty, actions)

    def go_on(imagination: Imagination, actions: torch.Tensor) -> Imagination:
        states = [imagination.latents[:, :, -1]]
        for action in actions.unbind(2):
            states.append(step(states[-1], action))
        ahead = torch.stack(states[1:], dim=2)
        return Imagination(
            latents=torch.cat([imagination.latents, ahead], dim=2),
            actions=torch.cat([imagination.actions, actions], dim=2),
        )

    return PlanningProblem(
        imagine=imagine,
        go_on=go_on,
        follow=step,
        score=score,
        space=space,
        num_worlds=len(start),
    )


def scored(energy: torch.Tensor, **margins: torch.Tensor) -> Scores:
    """Scores of one term, with guardrails."""
    feasible = torch.ones_like(energy, dtype=torch.bool)
    for margin in margins.values():
        feasible &= (margin >= 0).all(-1)
    return Scores(energy=energy, terms={"energy": energy}, margins=margins, feasible=feasible)


# ----------------------------------------------------------------------------- vectors


def quadratic(targets: torch.Tensor) -> PlanningProblem:
    """States add up actions; energy is the squared distance of the last from a target."""

    def score(imagination: Imagination) -> Scores:
        gap = imagination.latents[:, :, -1, 0] - targets[:, None]
        return scored(gap.square().sum(-1))

    space = ActionSpace(low=LOW, high=HIGH)
    return problem_of(
        lambda states, actions: states + actions.unsqueeze(-2),
        torch.zeros(len(targets), 2),
        score,
        space,
    )


def around(target: tuple[float, float], *, radius: float) -> PlanningProblem:
    """The same, with a disc around (1, 0) that must be kept out of."""
    free = quadratic(torch.tensor([target]))

    def score(imagination: Imagination) -> Scores:
        away = (imagination.latents[:, :, 1:, 0] - torch.tensor([1.0, 0.0])).norm(dim=-1)
        return scored(free.score(imagination).energy, disc=away - radius)

    return replace(free, score=score)


def sprint(steps: int, dt: float = 0.5) -> PlanningProblem:
    """From rest to rest, as far as it goes in the time: full speed ahead, then full brakes.

    Pontryagin's bang-bang control of the double integrator. With accelerations of at most one, held
    over ``steps`` times ``dt``, the square of half the time is covered, and by no other plan.
    """
    goal = torch.tensor([(steps * dt / 2) ** 2, 0.0])

    def step(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        place, speed, push = states[..., 0, 0], states[..., 0, 1], actions[..., 0]
        after = place + dt * speed + dt**2 / 2 * push
        return torch.stack([after, speed + dt * push], dim=-1).unsqueeze(-2)

    def score(imagination: Imagination) -> Scores:
        return scored((imagination.latents[:, :, -1, 0] - goal).square().sum(-1))

    space = ActionSpace(low=-torch.ones(1), high=torch.ones(1))
    return problem_of(step, torch.zeros(1, 2), score, space)


# ----------------------------------------------------------------------------- choices

MOVES = torch.tensor([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])
"""Stay, up, down, left, right."""


def cells(picture: str) -> list[str]:
    """The rows of a maze: ``#`` is a wall, ``!`` a hazard, ``G`` the goal; digits are starts."""
    return [line.strip() for line in picture.strip().splitlines()]


def ways(picture: str, *, through: str = ".G!0123456789") -> dict[tuple[int, int], int]:
    """Steps from each cell to the goal, through cells of some kinds, breadth first."""
    rows = cells(picture)
    (goal,) = [(i, j) for i, row in enumerate(rows) for j, kind in enumerate(row) if kind == "G"]
    found, waiting = {goal: 0}, deque([goal])
    while waiting:
        i, j = waiting.popleft()
        for di, dj in MOVES[1:].tolist():
            there = (i + di, j + dj)
            if there not in found and rows[there[0]][there[1]] in through:
                found[there] = found[i, j] + 1
                waiting.append(there)
    return found


def starts(picture: str) -> list[tuple[int, int]]:
    """Where the worlds begin: the digits, in order."""
    found = {
        kind: (i, j)
        for i, row in enumerate(cells(picture))
        for j, kind in enumerate(row)
        if kind.isdigit()
    }
    return [found[kind] for kind in sorted(found)]


def distances(picture: str) -> torch.Tensor:
    """Steps from each cell to the goal, past hazards; a hazard looks as near as it is."""
    rows = cells(picture)
    known = {**ways(picture), **ways(picture, through=".G0123456789")}
    return torch.tensor(
        [[float(known.get((i, j), 99)) for j in range(len(rows[0]))] for i in range(len(rows))]
    )


def maze(picture: str, *, block: int = 1, hint: float | None = None) -> PlanningProblem:
    """One world for each start; walls stop; the energy says how far the goal is.

    Args:
        picture: of the maze.
        block: moves in a model step.
        hint: None to be told after each model step how far it is along the way. Else the energy
            counts the model steps that do not end at the goal, and so many times how far the last
            place is as the crow flies, which leads into dead ends.
    """
    rows = cells(picture)
    free = torch.tensor([[kind != "#" for kind in row] for row in rows])
    hazard = torch.tensor([[kind == "!" for kind in row] for row in rows])
    far = distances(picture)
    goal = (far == 0).nonzero()[0]

    def step(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        place = states[..., 0, :].long()
        for choice in actions.unflatten(-1, (block, len(MOVES))).argmax(-1).unbind(-1):
            there = place + MOVES[choice]
            place = torch.where(free[there[..., 0], there[..., 1]][..., None], there, place)
        return place.to(states).unsqueeze(-2)

    def score(imagination: Imagination) -> Scores:
        place = imagination.latents[:, :, 1:, 0].long()
        away = far[place[..., 0], place[..., 1]]
        energy = away.sum(-1)
        if hint is not None:
            crow = (place[:, :, -1] - goal).abs().sum(-1)
            energy = (away > 0).sum(-1) + hint * crow
        bad = hazard[place[..., 0], place[..., 1]]
        return scored(energy, hazard=torch.where(bad, -1.0, 1.0))

    width = len(MOVES) * block
    space = ActionSpace(
        low=torch.zeros(width), high=torch.ones(width), num_choices=len(MOVES), block=block
    )
    return problem_of(step, torch.tensor(starts(picture)).float(), score, space)
