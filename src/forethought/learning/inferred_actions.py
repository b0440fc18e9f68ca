"""Actions inferred for clips that have none, so that a world model can learn from them as well.

Pictures are plentiful, recorded actions are not. What was done can be read from what came before
and after it: a few episodes with actions teach that reading, and it then tells the actions of all
others (Torabi et al., 2018; Baker et al., 2022, who learn policies from actions told like this).
What a picture cannot tell, such as a push against a wall, is told as its average.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from forethought.config import register
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.types import ForethoughtError
from forethought.world_model.hindsight import HeadsLinear
from forethought.world_model.probes import explained

CHUNK = 8192
TOO_SHORT = "leave the actions of the clips out (inferred=None)"


@register
@dataclass(frozen=True, kw_only=True)
class InferredActionsConfig:
    """How actions are inferred, and how much the world model hears of them.

    Attributes:
        before: world steps before the action that are looked at.
        after: world steps after it, one at least.
        hidden: width of each hidden layer of each head.
        num_heads: heads whose average is told.
        noise: standard deviations of noise on what the heads see, since with few episodes they
            would otherwise learn them by heart.
        labelled: share of the world model's clips that have recorded actions.
        optimiser: steps, batch size (moments of each head), learning rate.

    Raises:
        ForethoughtError: a number out of its range.
    """

    before: int = 1
    after: int = 2
    hidden: tuple[int, ...] = (64,)
    num_heads: int = 5
    noise: float = 0.6
    labelled: float = 0.25
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            num_steps=600, batch_size=256, learning_rate=2e-3, weight_decay=0.1
        )
    )

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 1 or self.num_heads < 1 or self.noise < 0:
            raise ForethoughtError(
                "inferred actions need before >= 0, after >= 1, num_heads >= 1 and noise >= 0; "
                f"found {self.before}, {self.after}, {self.num_heads} and {self.noise}."
            )
        if not 0 < self.labelled < 1:
            raise ForethoughtError(
                f"inferred actions: labelled is {self.labelled}; expected a share between 0 and 1."
            )


class ActionReader(nn.Module):
    """Reads each world action from latents around it; the average of several heads.

    Args:
        config: its make.
        width: of a flattened latent.
        action_width: of a world action.
    """

    shift: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, config: InferredActionsConfig, width: int, action_width: int) -> None:
        super().__init__()
        self.config = config
        seen = (config.before + config.after + 1) * width
        sizes = (seen, *config.hidden, action_width)
        self.layers = nn.ModuleList(
            HeadsLinear(config.num_heads, size_in, size_out)
            for size_in, size_out in pairwise(sizes)
        )
        self.register_buffer("shift", torch.zeros(seen))
        self.register_buffer("scale", torch.ones(seen))
        self.register_buffer("low", torch.zeros(action_width))
        self.register_buffer("high", torch.zeros(action_width))

    @torch.no_grad()
    def begin(self, seen: Float[Tensor, "n s"], actions: Float[Tensor, "n a"]) -> None:
        """Takes standardisation and bounds from the episodes with actions."""
        self.shift.copy_(seen.mean(0))
        self.scale.copy_(seen.std(0).clamp_min(1e-6))
        self.low.copy_(actions.amin(0))
        self.high.copy_(actions.amax(0))

    def told(self, seen: Float[Tensor, "m n s"]) -> Float[Tensor, "m n a"]:
        """What each head makes of moments of its own, as shares of the way between the bounds."""
        values = (seen - self.shift) / self.scale
        if self.training:
            values = values + self.config.noise * torch.randn_like(values)
        for layer in self.layers[:-1]:
            values = nn.functional.gelu(layer(values))
        return self.layers[-1](values)

    def standard(self, actions: Float[Tensor, "*n a"]) -> Float[Tensor, "*n a"]:
        """World actions as shares of the way between the bounds, from -1 to 1."""
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return (actions - middle) / half.clamp_min(1e-6)

    def forward(self, seen: Float[Tensor, "n s"]) -> Float[Tensor, "n a"]:
        """World actions, within the bounds of those that were recorded."""
        shares = self.told(seen.expand(self.config.num_heads, -1, -1)).mean(0).clamp(-1, 1)
        return (self.low + self.high) / 2 + shares * (self.high - self.low) / 2

    def around(self, episodes: LatentEpisodes, rows: Int[Tensor, "*n"]) -> Float[Tensor, "*n s"]:
        """The latents of rows, and how they change from before to after.

        Beyond the ends of an episode nothing changes.
        """
        config, first, last = self.config, episodes.first, episodes.last
        near = rows[..., None] + torch.arange(-config.before, config.after + 1)
        near = near.maximum(first[rows][..., None]).minimum(last[rows][..., None])
        latents = episodes.latents.flatten(1)
        changes = latents[near].diff(dim=-2).flatten(-2)
        return torch.cat([changes, latents[rows]], dim=-1)


class InferringStage(Stage):
    """Regression of the recorded actions on the latents around them.

    Args:
        config: how.
        reader: what is trained.
        episodes: frozen latents of episodes with actions.
        actions: ``(rows, width)`` recorded world actions.
        held_out: latents of episodes that are not trained on.
        held_out_actions: theirs.
    """

    name = "inferred_actions"
    label = "inferring actions"

    def __init__(
        self,
        config: InferredActionsConfig,
        reader: ActionReader,
        episodes: LatentEpisodes,
        actions: Float[Tensor, "rows w"],
        held_out: LatentEpisodes,
        held_out_actions: Float[Tensor, "held_rows w"],
    ) -> None:
        self.optimiser, self.num_heads = config.optimiser, config.num_heads
        self.reader, self.episodes, self.actions = reader, episodes, actions
        self.held_out, self.held_out_actions = held_out, held_out_actions
        self.rows = episodes.starts_of(1, remedy=TOO_SHORT)

    def begin(self) -> None:
        """See :class:`Stage`."""
        self.reader.begin(self.reader.around(self.episodes, self.rows), self.actions[self.rows])

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.reader.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        shape = (self.num_heads, self.optimiser.batch_size)
        rows = self.rows[torch.randint(len(self.rows), shape, generator=generator)]
        told = self.reader.told(self.reader.around(self.episodes, rows).to(self.reader.low.device))
        done = self.reader.standard(self.actions[rows].to(told.device))
        error = (told - done).square().mean()
        return error, {"error": error.detach()}

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        return {"explained": self.explained()}

    def explained(self) -> float:
        """Share of the variance of held-out actions that is told."""
        rows = self.held_out.starts_of(1, remedy=TOO_SHORT)
        told = infer(self.reader, self.held_out)[rows]
        return float(explained(told, self.held_out_actions[rows]).mean())


@torch.no_grad()
def infer(reader: ActionReader, episodes: LatentEpisodes) -> Float[Tensor, "rows a"]:
    """The action of every row; that of an episode's last row, whose outcome is unseen, as well as
    its past tells it."""
    rows, device = torch.arange(len(episodes.latents)), reader.low.device
    return torch.cat(
        [reader(reader.around(episodes, some).to(device)).cpu() for some in rows.split(CHUNK)]
    )
