"""Bad states told from others by examples, for guardrails on what has no name."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool
from torch import Tensor

from forethought.cost.likeness import Unlike
from forethought.data.store import EpisodeArrays
from forethought.learning.latents import encode_rows
from forethought.model import Model
from forethought.types import ForethoughtError
from forethought.world_model.probes import fit_mlp_probe

HELD_OUT = 4
"""One bad state in so many is kept from the readout, for its threshold."""


def learn_unlike(
    model: Model,
    arrays: EpisodeArrays,
    bad: Bool[Tensor, " rows"],
    *,
    name: str,
    missed: float = 0.05,
    seed: int = 0,
) -> Unlike:
    """A condition that bad states do not meet, learned from recorded rows that are marked as bad.

    The threshold is the split conformal one (Vovk et al., 2005): of further bad states at most the
    share ``missed`` looks fine, as long as they are like those that were marked.

    Args:
        model: perceives them.
        arrays: recorded episodes.
        bad: which of their rows are bad.
        name: what the bad states are, for tables and logs.
        missed: share of bad states that may look fine.
        seed: of the split and of the readout.

    Raises:
        ForethoughtError: marks that do not fit the rows, or too few of one kind.
    """
    if len(bad) != int(arrays.offsets[-1]):
        raise ForethoughtError(
            f"bad states {name!r}: {len(bad)} marks for {int(arrays.offsets[-1])} rows; give one "
            "for each recorded row."
        )
    few, needed = bad.nonzero()[:, 0], HELD_OUT * (math.ceil(1 / missed) - 1)
    if len(few) < needed or len(few) == len(bad):
        raise ForethoughtError(
            f"bad states {name!r}: {len(few)} of {len(bad)} rows are marked; at least {needed} are "
            f"needed to miss at most {missed:.1%} of them, and some that are not. Mark more rows, "
            "or raise `missed`."
        )
    generator = torch.Generator().manual_seed(seed)
    few = few[torch.randperm(len(few), generator=generator)]
    held_out, shown = few[: len(few) // HELD_OUT], few[len(few) // HELD_OUT :]
    others = (~bad).nonzero()[:, 0]
    others = others[torch.randint(len(others), (len(shown),), generator=generator)]
    latents = encode_rows(model.world_model, arrays)
    kinds = torch.cat([torch.ones(len(shown), 1), -torch.ones(len(others), 1)])
    readout = fit_mlp_probe(latents[torch.cat([shown, others])], kinds, generator=generator)
    with torch.no_grad():
        likeness = readout(latents[held_out])[:, 0].sort().values
    rank = math.floor((len(held_out) + 1) * missed)
    return Unlike(name=name, readout=readout, threshold=float(likeness[rank - 1]))
