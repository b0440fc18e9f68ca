"""Does planning towards what came next recover what was done?

The planner is given the moment now and the moment k model steps later, and must find the actions
between them. It searches by gradient from the proposal of an inverse model, near which it is held:
many action sequences lead nearly to the same place, and of these the likely one is meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.actor import Gradient
from forethought.cost.terms import Cost, Sight, term
from forethought.evaluation.clips import Clips
from forethought.learning.ridge import Ridge, fit_ridge
from forethought.model import Model
from forethought.types import ActionSpace, Imagination, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Squared error of the recovered first model action; always guessing the mean scores about 1.

    Attributes:
        steps: world steps between the two moments.
        mean: always guessing the mean action.
        ridge: ridge inverse dynamics from what the sensors gave at both moments.
        proposal: the inverse model alone.
        plan: the plan.
    """

    steps: int
    mean: float
    ridge: float
    proposal: float
    plan: float


class InverseModel(nn.Module):
    """Actions between two moments: ridge regression, and what a small ensemble adds to it.

    The addition is scaled by how much of it held on episodes that it was not fitted on, so that
    where it learned nothing the ridge is left as it is.

    Args:
        linear: the regression.
        num_inputs: what the sensors gave at both moments.
        num_actions: entries of the action sequence.
    """

    def __init__(self, linear: Ridge, num_inputs: int, num_actions: int) -> None:
        super().__init__()
        self.linear = linear
        self.members = nn.ModuleList(_member(num_inputs, num_actions) for _ in range(2))
        self.share = 1.0
        self.residual = torch.ones(num_actions)

    def correction(self, ends: Float[Tensor, "n i"]) -> Float[Tensor, "n a"]:
        """What the ensemble adds, unscaled."""
        standard = (ends - self.linear.mean) / self.linear.scale
        return torch.stack([member(standard) for member in self.members]).mean(0)

    def forward(self, ends: Float[Tensor, "n i"]) -> Float[Tensor, "n a"]:
        """The likely actions."""
        return self.linear(ends) + self.share * self.correction(ends)


def _member(num_inputs: int, num_actions: int) -> nn.Sequential:
    last = nn.Linear(128, num_actions)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(num_inputs, 128),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.Linear(128, 128),
        nn.GELU(),
        nn.Dropout(0.2),
        last,
    )


def recover(
    model: Model, train: Clips, held_out: Clips, horizon: int, generator: torch.Generator
) -> Recovery:
    """Measures recovery over ``horizon`` model steps.

    Args:
        model: imagines.
        train: clips that the baselines and the inverse model are fitted on.
        held_out: clips that are measured.
        horizon: model steps between the two moments.
        generator: the only source of randomness.
    """
    inverse = _fit_inverse(train, horizon, generator)
    with torch.no_grad():
        proposal = inverse(_ends(held_out, horizon)).view(len(held_out.latents), horizon, -1)
    plan = _plan(
        model, held_out, proposal, inverse, horizon, generator, _scale(model, train, horizon)
    )
    truth = held_out.future()[:, 0]
    linear = fit_ridge(_ends(train, horizon), train.future()[:, 0], train.episode)
    guess = train.future()[:, 0].mean(0)
    return Recovery(
        steps=horizon * model.config.world_model.action_block,
        mean=_error(guess, truth),
        ridge=_error(linear(_ends(held_out, horizon)), truth),
        proposal=_error(proposal[:, 0], truth),
        plan=_error(plan[:, 0], truth),
    )


def _error(guess: Tensor, truth: Tensor) -> float:
    return float((guess - truth).square().mean())


def _ends(clips: Clips, horizon: int) -> Float[Tensor, "n i"]:
    return torch.cat([clips.features[:, 1], clips.features[:, 1 + horizon]], -1)


def _fit_inverse(
    clips: Clips, horizon: int, generator: torch.Generator, num_steps: int = 600
) -> InverseModel:
    ends, targets = _ends(clips, horizon), clips.future()[:, :horizon].flatten(1)
    episodes = clips.episode.unique()
    kept = torch.isin(clips.episode, episodes[:: max(2, min(5, len(episodes)))])
    linear = fit_ridge(ends[~kept], targets[~kept], clips.episode[~kept])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        model = InverseModel(linear, ends.shape[1], targets.shape[1])
        _fit_correction(model, ends[~kept], targets[~kept], generator, num_steps)
    model.eval().requires_grad_(False)
    left = targets[kept] - linear(ends[kept])
    added = model.correction(ends[kept])
    share = (added * left).sum() / added.square().sum().clamp_min(1e-9)
    model.share = float(share.clamp(0, 1))
    model.residual = (left - model.share * added).square().mean(0).clamp_min(1e-4)
    return model


def _fit_correction(
    model: InverseModel,
    ends: Float[Tensor, "n i"],
    targets: Float[Tensor, "n a"],
    generator: torch.Generator,
    num_steps: int,
) -> None:
    left = targets - model.linear(ends)
    optimiser = torch.optim.AdamW(model.members.parameters(), lr=1e-3, weight_decay=0.5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, num_steps)
    for _ in range(num_steps):
        rows = torch.randint(len(ends), (128,), generator=generator)
        standard = (ends[rows] - model.linear.mean) / model.linear.scale
        errors = [(member(standard) - left[rows]).square().mean() for member in model.members]
        optimiser.zero_grad(set_to_none=True)
        torch.stack(errors).sum().backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def _scale(model: Model, clips: Clips, horizon: int) -> Float[Tensor, "k d"]:
    """Mean squared prediction error of each entry of the latent: what a miss is worth."""
    ahead = model.world_model.rollout(clips.latents[:, 1], clips.future()[:, :horizon])[:, -1]
    return (ahead - clips.latents[:, 1 + horizon]).square().mean(0).clamp_min(1e-5)


def _plan(
    model: Model,
    clips: Clips,
    proposal: Float[Tensor, "n h a"],
    inverse: InverseModel,
    horizon: int,
    generator: torch.Generator,
    scale: Float[Tensor, "k d"],
    nearness: float = 3.0,
) -> Float[Tensor, "n h a"]:
    """Plans in standardised actions: every clip is a world, its later moment the goal."""
    goal, start = clips.latents[:, 1 + horizon], clips.latents[:, 1]
    residual = inverse.residual.view(horizon, -1)

    def imagine(actions: Float[Tensor, "b n h a"]) -> Imagination:
        future = model.world_model.rollout(start, actions[:, 0])
        return Imagination(latents=future[:, None], actions=actions)

    def miss(imagination: Imagination) -> Float[Tensor, "b n h"]:
        gap = (imagination.latents[:, :, -1] - goal[:, None]).square() / scale
        return nn.functional.pad(gap.sum((-1, -2)).unsqueeze(-1), (horizon - 1, 0))

    def unlikely(imagination: Imagination) -> Float[Tensor, "b n h"]:
        return ((imagination.actions - proposal[:, None]).square() / residual).sum(-1)

    reach = proposal.new_full((proposal.shape[-1],), 8.0)
    space = ActionSpace(low=-reach, high=reach)
    cost = Cost(terms=(term("miss", miss), nearness * term("unlikely", unlikely)))
    sight = Sight(
        encode=lambda _: goal,
        push=model.world_model.push,
        distance=model.distance,
        read=model.read,
        space=space,
        signature=model.signature,
    )
    planner = Gradient(
        horizon=horizon,
        num_restarts=1,
        num_iterations=60,
        learning_rate=0.005,
        initial_std=0.0,
        noise=0.0,
    )
    problem = PlanningProblem(
        imagine=imagine, score=cost.bind(sight), space=space, num_worlds=len(goal)
    )
    warm = WarmStart(actions=proposal)
    return planner.plan(problem, generator=generator, warm_start=warm).actions
