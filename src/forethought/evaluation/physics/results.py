"""A model before matched clips, beside what pixels say and beside itself before it learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from forethought.baselines.frame_transformer import FrameTransformer
from forethought.evaluation.physics.blocks import BLOCKS
from forethought.evaluation.physics.controls import CONTROLS
from forethought.evaluation.physics.measuring import BlockResult, Pairs, Summary, choose, measure
from forethought.evaluation.physics.quadruplets import Block, Frames
from forethought.evaluation.physics.surprise import WorldModelSurprise
from forethought.model import Model, model_from_description
from forethought.types import ForethoughtError
from forethought.worlds.physics import SIZE

CONTEXTS = (2, 4, 6, 8, 10)
"""Frames that are seen before the others of a window are foreseen: those of the publication."""
WINDOW = 16
EACH = "each frame from all before it"
MODEL, BARE = "model", "model, nothing hidden"
REACHED = 0.9
"""Share of pairs from which on a block is known."""


class Fault(Enum):
    """Why a block is not known."""

    MEMORY = "memory"
    FORESIGHT = "perception or foresight"


@dataclass(frozen=True, kw_only=True)
class PhysicsProtocol:
    """How intuitive physics is measured.

    Attributes:
        pairs: of each block; an even number.
        seed: of the first clip.
        validation: pairs of each block, of other seeds, on which it is chosen how surprise is
            taken; 0 to take each frame from all before it, and the mean.
        untrained: models of the same make with random weights that are measured beside it.
        controls: whether pixels and optical flow are measured too.

    Raises:
        ForethoughtError: half a set of clips, or less than none.
    """

    pairs: int = 200
    seed: int = 0
    validation: int = 60
    untrained: int = 3
    controls: bool = True

    def __post_init__(self) -> None:
        halves = self.pairs % 2 or self.validation % 2 or self.seed % 2
        if halves or self.pairs < 2 or min(self.validation, self.seed, self.untrained) < 0:
            raise ForethoughtError(
                f"PhysicsProtocol: found pairs={self.pairs}, validation={self.validation}, seed="
                f"{self.seed}, untrained={self.untrained}; expected even numbers, since two pairs "
                "share four clips, at least 2 pairs, and nothing below 0."
            )


@dataclass(frozen=True, kw_only=True)
class Example:
    """A pair to look at.

    Attributes:
        block: it is of.
        possible: what can happen.
        impossible: what cannot.
        surprises: of both, moment by moment.
    """

    block: str
    possible: Frames
    impossible: Frames
    surprises: tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]


@dataclass(frozen=True, kw_only=True)
class PhysicsResults:
    """What was measured.

    Attributes:
        data: where the clips are from.
        surprise: how surprise is taken.
        summary: how that of a clip is had from its moments.
        choices: mean accuracy of every way on validation clips.
        says: what each block expects.
        results: by who was asked (``model``, ``untrained 0``, controls), block by block; and the
            model, each frame from all before it, where nothing is hidden, if there are such clips.
        examples: a pair of each block.
    """

    data: str
    surprise: str
    summary: Summary
    choices: Mapping[str, float]
    says: Mapping[str, str]
    results: Mapping[str, Sequence[BlockResult]]
    examples: Sequence[Example] = field(repr=False)

    def kind(self, who: str) -> str:
        """By what the clips of someone who was asked are compared: of bare ones by the mean, since
        each frame is foreseen from all before it, whatever was chosen for the others."""
        return Summary.MEAN.value if who == BARE else self.summary.value

    def faults(self) -> dict[str, Fault]:
        """Why blocks are not known to the model: blocks of which bare clips were shown as well.

        Where the impossible surprises as soon as nothing is hidden, what is seen and what is
        foreseen of it is in order, and it is forgotten; else not even that is.
        """
        if BARE not in self.results:
            return {}
        seen = [one.pairs[self.kind(BARE)].value >= REACHED for one in self.results[BARE]]
        return {
            one.name: Fault.MEMORY if known else Fault.FORESIGHT
            for one, known in zip(self.results[MODEL], seen, strict=True)
            if one.pairs[self.kind(MODEL)].value < REACHED
        }

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON types."""
        return {
            "data": self.data,
            "surprise": self.surprise,
            "summary": self.summary.value,
            "validation": dict(self.choices),
            "blocks": dict(self.says),
            "faults": {name: one.value for name, one in self.faults().items()},
            "results": {
                who: [one.to_json() for one in blocks] for who, blocks in self.results.items()
            },
        }


def blocks_named(names: Sequence[str]) -> list[Block]:
    """Blocks by name; all where none is named.

    Raises:
        ForethoughtError: an unknown block.
    """
    unknown = sorted(set(names) - BLOCKS.keys())
    if unknown:
        raise ForethoughtError(f"no block {unknown[0]!r}; there are {sorted(BLOCKS)}.")
    return [BLOCKS[name] for name in names] if names else list(BLOCKS.values())


def check_size(model: Model, size: tuple[int, int] = (SIZE, SIZE)) -> None:
    """Refuses a model that takes pictures of another size.

    Raises:
        ForethoughtError: one that does.
    """
    surprise = WorldModelSurprise(model=model)
    (key,) = surprise.model.world_model.perception.keys
    found = model.signature.observation[key].shape[:2]
    if tuple(found) != tuple(size):
        raise ForethoughtError(
            f"the model takes pictures of {found}, the clips are {size}; measure one that was "
            "trained on clips of `forethought record physics`, or give --videos."
        )


def untrained(model: Model, seed: int) -> Model:
    """A model of the same make with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = model_from_description(model.description(), where="the model").eval()
    assert isinstance(fresh, Model)
    return fresh


def surprises_of(model: Model) -> dict[str, WorldModelSurprise]:
    """The ways in which a model's surprise may be taken, by name."""
    ways = {EACH: WorldModelSurprise(model=model)}
    world_model = model.world_model
    block, steps = world_model.config.action_block, world_model.predictor.window
    contexts = sorted({max(1, frames // block) for frames in CONTEXTS})
    if isinstance(world_model.predictor, FrameTransformer) or steps <= contexts[-1]:
        return ways
    for context in contexts:
        seen = f"from {context * block} frames"
        ways[f"windows of {WINDOW} frames {seen}"] = WorldModelSurprise(
            model=model, context=context, window=WINDOW // block, stride=max(1, 2 // block)
        )
        ways[f"all that follows hidden {seen}"] = WorldModelSurprise(
            model=model, context=context, hide=True
        )
    return ways


def evaluate_physics(
    model: Model, blocks: Sequence[Block], protocol: PhysicsProtocol | None = None
) -> PhysicsResults:
    """Measures a model on the blocks that are made here.

    Args:
        model: a video model.
        blocks: see :data:`BLOCKS`.
        protocol: how.

    Raises:
        ForethoughtError: a model of other pictures.
    """
    protocol = protocol or PhysicsProtocol()
    check_size(model)
    ways = surprises_of(model)
    name, summary, choices = EACH, Summary.MEAN, {}
    if protocol.validation:
        name, summary, choices = choose(ways, blocks, count=protocol.validation)
    return measure_all(
        model,
        (Pairs.of(one, protocol.pairs, first=protocol.seed) for one in blocks),
        ways[name],
        protocol,
        data=f"{protocol.pairs} pairs of each block",
        way=name,
        summary=summary,
        choices=choices,
        says={one.name: one.says for one in blocks},
    )


def measure_all(
    model: Model,
    clips: Iterable[Pairs],
    surprise: WorldModelSurprise,
    protocol: PhysicsProtocol,
    *,
    data: str,
    way: str = EACH,
    summary: Summary = Summary.MEAN,
    choices: Mapping[str, float] | None = None,
    says: Mapping[str, str] | None = None,
) -> PhysicsResults:
    """Measures a model, untrained ones and the controls on any matched clips.

    Args:
        model: a video model.
        clips: of one block after the other.
        surprise: how its surprise is taken; that of untrained models likewise.
        protocol: how many untrained models, and whether controls.
        data: where the clips are from.
        way: what the surprise is called.
        summary: how that of a clip is had from its moments.
        choices: mean accuracy of every way on validation clips, where one was chosen by them.
        says: what each block expects; nothing is known of those that are not in it.
    """
    asked = {MODEL: surprise}
    for seed in range(protocol.untrained):
        asked[f"untrained {seed}"] = replace(surprise, model=untrained(model, seed))
    everyone = {**asked, **(CONTROLS if protocol.controls else {})}
    results: dict[str, list[BlockResult]] = {who: [] for who in everyone}
    seen = WorldModelSurprise(model=model)
    examples = []
    for pairs in clips:
        for who, one in everyone.items():
            results[who].append(measure(one, pairs))
        if pairs.bare is not None:
            results.setdefault(BARE, []).append(measure(seen, pairs.bare))
        examples.append(_example(pairs, results[MODEL][-1]))
    return PhysicsResults(
        data=data,
        surprise=way,
        summary=summary,
        choices=choices or {},
        says={one.name: (says or {}).get(one.name, "") for one in results[MODEL]},
        results=results,
        examples=examples,
    )


def _example(pairs: Pairs, result: BlockResult) -> Example:
    """The first pair; which it is does not depend on how well it is told apart."""
    possible, impossible = result.surprises
    return Example(
        block=pairs.name,
        possible=pairs.possible[0],
        impossible=pairs.impossible[0],
        surprises=(possible[0], impossible[0]),
    )
