"""Which recorded clips to have labelled first: those that are least like what is labelled already.

Labels cost a person's time, and recordings repeat themselves. The clip chosen next is the one whose
moments lie farthest, on average, from all moments with labels, as a world model perceives them
(Gonzalez, 1985, farthest-first; for labels Sener and Savarese, 2018). No label is asked for in
choosing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.data.store import Dataset
from forethought.learning.calibrating import check_recorded
from forethought.learning.latents import LatentEpisodes
from forethought.model import Model
from forethought.types import ForethoughtError


@dataclass(frozen=True, kw_only=True, order=True)
class Clip:
    """A stretch of a recorded episode.

    Attributes:
        episode: its number in the dataset.
        first: row of the episode that it begins with.
        length: rows.
    """

    episode: int
    first: int
    length: int

    def meets(self, other: Clip) -> bool:
        """Whether they share a row."""
        together = (
            self.first < other.first + other.length and other.first < self.first + self.length
        )
        return self.episode == other.episode and together


def choose_clips(
    model: Model,
    data: Dataset,
    number: int,
    *,
    length: int,
    episodes: Sequence[int] | None = None,
    labelled: Sequence[Clip] = (),
) -> tuple[Clip, ...]:
    """The clips that deserve labels, the most deserving first.

    Episodes are cut into clips that lie end to end; what is left at the end of one is left out.
    The same recordings give the same clips.

    Args:
        model: perceives them.
        data: recordings.
        number: of clips to choose.
        length: rows of each.
        episodes: to choose from; all where not said.
        labelled: clips that have labels already.

    Raises:
        ForethoughtError: the data lack what the model perceives, there are fewer clips than that,
            or a labelled one is none of the recordings.
    """
    check_recorded(model, data, None)
    chosen_from = list(range(data.num_episodes) if episodes is None else episodes)
    order = sorted({*chosen_from, *(one.episode for one in labelled)})
    arrays = data.load(
        order, keys=list(model.world_model.perception.keys), image_size=model.image_size
    )
    rows = dict(zip(order, arrays.lengths.tolist(), strict=True))
    clips = _unlabelled(chosen_from, rows, length, labelled)
    _check(number, length, clips, labelled, rows)
    recorded = LatentEpisodes.of(model.world_model, arrays)
    begins = dict(zip(order, recorded.offsets.tolist()[:-1], strict=True))

    def moments(clip: Clip) -> Float[Tensor, "m e"]:
        first = begins[clip.episode] + clip.first
        return recorded.latents[first : first + clip.length : recorded.block].flatten(1)

    known = [moments(one) for one in labelled]
    picked = farthest_first(torch.stack([moments(one) for one in clips]), number, known)
    return tuple(clips[one] for one in picked)


def farthest_first(
    clips: Float[Tensor, "n m e"], number: int, known: Sequence[Float[Tensor, "_ e"]] = ()
) -> list[int]:
    """Clips in the order in which each is farthest from those before it, and from what is known.

    Where nothing is known the first is the one nearest to the middle of all.

    Args:
        clips: their moments.
        number: how many to pick.
        known: moments that count as picked already.
    """
    moments = clips.flatten(0, 1)
    if known:
        apart = torch.cdist(moments, torch.cat(tuple(known))).amin(1)
    else:
        apart = -torch.cdist(moments, moments.mean(0, keepdim=True))[:, 0]
    picked = list[int]()
    while len(picked) < number:
        score = apart.unflatten(0, clips.shape[:2]).mean(1)
        score[picked] = -torch.inf
        picked.append(int(score.argmax()))
        new = torch.cdist(moments, clips[picked[-1]]).amin(1)
        # The middle, which the first was chosen by, is no clip.
        apart = new if len(picked) == 1 and not known else apart.minimum(new)
    return picked


def _unlabelled(
    episodes: Sequence[int], rows: Mapping[int, int], length: int, labelled: Sequence[Clip]
) -> list[Clip]:
    """Clips that lie end to end, but for those that share a row with one that has labels."""
    clips = [
        Clip(episode=one, first=first, length=length)
        for one in episodes
        for first in range(0, rows[one] - length + 1, max(1, length))
    ]
    return [clip for clip in clips if not any(clip.meets(other) for other in labelled)]


def _check(
    number: int,
    length: int,
    clips: Sequence[Clip],
    labelled: Sequence[Clip],
    rows: Mapping[int, int],
) -> None:
    if length < 1 or not 1 <= number <= len(clips):
        raise ForethoughtError(
            f"choosing {number} clips of {length} rows: the episodes have {len(clips)} such clips "
            "without labels. Choose fewer, or shorter ones."
        )
    for one in labelled:
        if one.length < 1 or one.first < 0 or one.first + one.length > rows[one.episode]:
            raise ForethoughtError(
                f"labelled {one}: the episode has {rows[one.episode]} rows. Give clips of these "
                "recordings."
            )
