"""What recorded steps would have cost by a task that nobody knew when they were recorded.

Guardrails are held against the quantities as recorded, world step by world step; cost terms judge
the latents of what was recorded. No environment reward is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost.guardrail import Guardrail, reading_of
from forethought.cost.sight import Sight
from forethought.cost.terms import Cost, CostTerm
from forethought.data.store import EpisodeArrays
from forethought.data.windows import as_vectors
from forethought.learning.latents import LatentEpisodes
from forethought.model import Model
from forethought.types import ForethoughtError, Imagination

CHUNK = 1024


@dataclass(frozen=True, kw_only=True)
class Relabelling:
    """The cost of recorded steps.

    Attributes:
        guardrails: a world step costs one where any of them is violated.
        cost: terms whose weighted sum over one model step is added.
        depth: let a violation cost by how much, in the unit of the condition, in place of one;
            those of several guardrails add up.

    Raises:
        ForethoughtError: nothing that costs anything.
    """

    guardrails: tuple[Guardrail, ...] = ()
    cost: Cost = field(default_factory=lambda: Cost(terms=()))
    depth: bool = False

    def __post_init__(self) -> None:
        if not self.guardrails and not self.cost.terms:
            raise ForethoughtError(
                "there is nothing to fear: neither guardrails=[...] nor cost=... was given."
            )

    @classmethod
    def of(
        cls, guardrails: Sequence[Guardrail], cost: Cost | CostTerm | None, *, depth: bool
    ) -> Relabelling:
        """From a task: guardrails of the cost count as well."""
        terms = Cost(terms=()) if cost is None else cost
        terms = terms if isinstance(terms, Cost) else Cost(terms=(terms,))
        return cls(
            guardrails=(*guardrails, *terms.guardrails),
            cost=replace(terms, guardrails=()),
            depth=depth,
        )

    def words(self) -> tuple[str, ...]:
        """What it is about, a line each."""
        how = "how far beyond" if self.depth else "beyond"
        rails = [f"{how} {one.constraint}" for one in self.guardrails]
        return (*rails, *(f"{one.weight:g} * {one.name}" for one in self.cost.terms))

    def quantities(self, model: Model) -> tuple[str, ...]:
        """Those that have to be recorded: what guardrails are about and probes read."""
        names = (name for one in self.guardrails for name in one.constraint.quantities)
        return tuple(name for name in dict.fromkeys(names) if name in model.config.probes)

    @torch.no_grad()
    def costs(
        self,
        model: Model,
        arrays: EpisodeArrays,
        episodes: LatentEpisodes,
        recorded: Float[Tensor, "rows q"] | None,
    ) -> Float[Tensor, " rows"]:
        """Cost of the model step that begins at each row: of guardrails the mean over its world
        steps; zero where the episode ends before it does.

        Args:
            model: whose latents they are.
            arrays: the episodes.
            episodes: the same as latents.
            recorded: the model's probed quantities; None where none is needed.

        Raises:
            ForethoughtError: costs that are negative or not finite, or a guardrail about what can
                neither be read nor done.
        """
        sight = Agent(model, cost=Cost(terms=()), actor=CEM()).sight
        actions, rows = as_vectors(arrays), episodes.starts()[0]
        found = torch.zeros(len(episodes.latents))
        if self.guardrails:
            each = self._violations(sight, episodes, actions, recorded)
            block = torch.arange(episodes.block)
            found[rows] += each[rows[:, None] + block].mean(1)
        if self.cost.terms:
            found[rows] += self._energies(sight, episodes, actions, rows)
        worst = found.min()
        if not bool(torch.isfinite(found).all()) or worst < 0:
            raise ForethoughtError(
                f"{'; '.join(self.words())}: a recorded step costs {float(worst):g}; a fear is of "
                "finite costs of zero or more. Leave out terms that reward, and check the data "
                "with `forethought data check`."
            )
        return found

    def _violations(
        self,
        sight: Sight,
        episodes: LatentEpisodes,
        actions: Float[Tensor, "rows a"],
        recorded: Float[Tensor, "rows q"] | None,
    ) -> Float[Tensor, " rows"]:
        """What guardrails make of the world step that begins at each row."""
        reading = replace(reading_of(self.guardrails, sight), steps=1)
        device = sight.space.low.device
        found = torch.zeros(len(episodes.latents))
        for first, end in episodes.offsets.unfold(0, 2, 1).tolist():
            values = {
                name: recorded[first:end, sight.quantities.index(name)].to(device)
                for name in reading.probed
                if recorded is not None
            }
            course = reading.course(
                values,
                episodes.latents[first:end].to(device),
                actions[first : end - 1].to(device),
            )
            margins = torch.stack([one.constraint.margin(course) for one in self.guardrails])
            # A margin that is NaN is violated, as it is for planners.
            cost = (-margins).relu().sum(0) if self.depth else (~(margins >= 0)).any(0).float()
            found[first : end - 1] = cost.cpu()
        return found

    def _energies(
        self,
        sight: Sight,
        episodes: LatentEpisodes,
        actions: Float[Tensor, "rows a"],
        rows: Tensor,
    ) -> Float[Tensor, " n"]:
        """What terms make of the model step that begins at each of some rows."""
        score, device = self.cost.bind(sight), sight.space.low.device
        ends, block = torch.tensor([0, episodes.block]), torch.arange(episodes.block)
        energies = []
        for some in rows.split(CHUNK):
            latents = episodes.latents[some[:, None] + ends]
            taken = actions[some[:, None] + block].flatten(1)
            # One agent with so many candidates, so that goals are as they were given.
            step = Imagination(
                latents=latents[None].to(device), actions=taken[None, :, None].to(device)
            )
            energies.append(score(step).energy[0].cpu())
        return torch.cat(energies)
