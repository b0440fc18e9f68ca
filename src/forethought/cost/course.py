"""What happens to quantities by name, world step by world step: what guardrails are judged by.

Imagined courses are known at model steps alone; between them quantities are taken to change evenly.
What that leaves out is part of the error that guardrails are calibrated for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Reader = Callable[[Float[Tensor, "*batch k d"]], Float[Tensor, "*batch"]]
"""A number read from a latent."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """Quantities at moments one world step apart.

    Attributes:
        quantities: by name, ``(..., s)`` at ``s`` moments.
        step_s: seconds of a world step.
    """

    quantities: Mapping[str, Float[Tensor, "*batch s"]]
    step_s: float

    def __getitem__(self, name: str) -> Float[Tensor, "*batch s"]:
        return self.quantities[name]

    def places(self, names: tuple[str, ...]) -> Float[Tensor, "*batch s q"]:
        """Some of the quantities side by side."""
        return torch.stack([self.quantities[name] for name in names], dim=-1)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the quantities that are asked for are read from latents and actions.

    Attributes:
        names: the quantities.
        probes: all that probes read from latents ``(..., k, d)``, by name.
        readers: other numbers read from latents.
        actions: place of a quantity among the entries of a world action.
        steps: world steps in an imagined step.
        step_s: seconds of a world step.
    """

    names: tuple[str, ...]
    probes: Callable[[Float[Tensor, "*batch k d"]], Mapping[str, Tensor]]
    readers: Mapping[str, Reader]
    actions: Mapping[str, int]
    steps: int
    step_s: float

    @property
    def probed(self) -> tuple[str, ...]:
        """Those of the quantities that probes read."""
        known = {*self.readers, *self.actions}
        return tuple(name for name in self.names if name not in known)

    def imagined(
        self, latents: Float[Tensor, "*batch h_plus_1 k d"], actions: Float[Tensor, "*batch h a"]
    ) -> Course:
        """The course of what was imagined.

        Candidates ``(b, n, ...)`` of a world begin in the same present, which is read once.
        """
        if not self.probed:
            return self.course({}, latents, actions)
        ahead = self.probes(latents[..., 1:, :, :])
        now = self.probes(latents[:, :1, :1] if latents.ndim == 5 else latents[..., :1, :, :])
        coming = torch.stack([ahead[name] for name in self.probed])
        present = torch.stack([now[name] for name in self.probed]).expand_as(coming[..., :1])
        evenly = between(torch.cat([present, coming], dim=-1), self.steps)
        return self.course(dict(zip(self.probed, evenly, strict=True)), latents, actions)

    def course(
        self,
        probed: Mapping[str, Float[Tensor, "*batch s"]],
        latents: Float[Tensor, "*batch h_plus_1 k d"],
        actions: Float[Tensor, "*batch h a"],
    ) -> Course:
        """A course whose probed quantities are known; the others are read."""
        read = {name: between(reader(latents), self.steps) for name, reader in self.readers.items()}
        done = {name: self._done(actions, place) for name, place in self.actions.items()}
        return Course(quantities={**probed, **read, **done}, step_s=self.step_s)

    def _done(self, actions: Float[Tensor, "*batch h a"], place: int) -> Float[Tensor, "*batch s"]:
        """An entry of the action that led to each moment; the first has none of its own."""
        taken = actions.unflatten(-1, (self.steps, -1))[..., place].flatten(-2)
        return torch.cat([taken[..., :1], taken], dim=-1)


def between(values: Float[Tensor, "*batch h_plus_1"], steps: int) -> Float[Tensor, "*batch s"]:
    """Values at every world step, where they change evenly from each model step to the next."""
    shares = torch.arange(1, steps + 1, device=values.device) / steps
    start, change = values[..., :-1, None], values.diff(dim=-1)[..., None]
    return torch.cat([values[..., :1], (start + change * shares).flatten(-2)], dim=-1)
