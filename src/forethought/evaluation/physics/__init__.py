"""Intuitive physics by violation of expectation: matched clips, surprise, controls."""

from forethought.evaluation.physics.blocks import BLOCKS
from forethought.evaluation.physics.controls import CONTROLS
from forethought.evaluation.physics.measuring import (
    BlockResult,
    Pairs,
    Summary,
    choose,
    measure,
    pairs_of,
)
from forethought.evaluation.physics.quadruplets import Block, Quadruplet
from forethought.evaluation.physics.surprise import Surprise, WorldModelSurprise

__all__ = [
    "BLOCKS",
    "CONTROLS",
    "Block",
    "BlockResult",
    "Pairs",
    "Quadruplet",
    "Summary",
    "Surprise",
    "WorldModelSurprise",
    "choose",
    "measure",
    "pairs_of",
]
