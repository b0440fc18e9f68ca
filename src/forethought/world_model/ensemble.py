"""Ensembles: several predictors on one encoder, whose disagreement says where none of them knows.

Epistemic uncertainty after Lakshminarayanan et al. (2017) and Chua et al. (2018): every member
rolls its own future, and the spread is how far these lie apart.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from forethought.config import register
from forethought.types import ForethoughtError
from forethought.world_model.predictors import Predictor, PredictorConfig


@register
@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(PredictorConfig):
    """Several predictors of one make, each from its own random start.

    Attributes:
        member: settings of each.
        num_members: how many.
        shown: share of a latent's entries that each member sees, drawn for each; the others go on
            as they are unless it changes them (random subspaces, after Ho, 1998). Where entries say
            the same in several ways, as regularised latents do, members that see different ones
            agree on what is like the data, and disagree on what only resembles it in part.

    Raises:
        ForethoughtError: fewer than two members, or a share outside (0, 1].
    """

    member: PredictorConfig
    num_members: int = 5
    shown: float = 1.0

    def __post_init__(self) -> None:
        if self.num_members < 2:
            raise ForethoughtError(
                f"an ensemble of {self.num_members} has no spread; give num_members=2 or more, or "
                "use the member by itself."
            )
        if not 0 < self.shown <= 1:
            raise ForethoughtError(
                f"ensemble: shown is {self.shown}; expected a share above 0 and up to 1."
            )

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        members = [self.member.build(tokens, width, action_width) for _ in range(self.num_members)]
        hidden = width - max(1, round(self.shown * width))
        if hidden == 0:
            return Ensemble(members)
        return Ensemble(members, blind=torch.rand(self.num_members, width).argsort(1) < hidden)


class Ensemble(Predictor):
    """The members' weights, stacked: one batched call serves them all.

    Args:
        members: predictors of the same make.
        blind: ``(m, d)`` entries of a token that each member does not see; None for none.
    """

    blind: Tensor

    def __init__(
        self, members: list[Predictor], *, blind: Bool[Tensor, "m d"] | None = None
    ) -> None:
        super().__init__()
        self.num_members = len(members)
        self.partial = blind is not None
        if blind is not None:
            self.register_buffer("blind", blind)
        self.window = members[0].window
        weights, buffers = stack_module_state(list(members))
        # Kept out of the module tree: it lends its code, the weights are the stacked ones.
        self._code = (copy.deepcopy(members[0]).to("meta"),)
        self._names = tuple(weights)
        self._buffer_names = tuple(buffers)
        for name, value in weights.items():
            self.register_parameter(_flat(name), nn.Parameter(value.detach().clone()))
        for name, value in buffers.items():
            self.register_buffer(_flat(name), value.clone(), persistent=False)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """Each equal part of the batch by its own member; see :class:`Predictor`."""
        state = {name: getattr(self, _flat(name)) for name in self._names + self._buffer_names}
        code = self._code[0].train(self.training)

        def member(own: dict[str, Tensor], latents: Tensor, actions: Tensor) -> Tensor:
            return functional_call(code, own, (latents, actions))

        shares = latents.unflatten(0, (self.num_members, -1))
        unseen = shares * self.blind[:, None, None, None] if self.partial else None
        predicted = torch.vmap(member, randomness="different")(
            state,
            shares if unseen is None else shares - unseen,
            actions.unflatten(0, (self.num_members, -1)),
        )
        if unseen is not None:
            predicted = predicted + unseen[:, :, -1]
        return predicted.flatten(0, 1)


def _flat(name: str) -> str:
    # PyTorch does not allow dots in the names of parameters.
    return name.replace(".", "_")
