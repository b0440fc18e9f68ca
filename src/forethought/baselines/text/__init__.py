"""A language model on bytes: tokenise, pretrain, fine-tune, retrieve.

Two ways to learn from the same text with the same transformer: to predict the next byte (GPT,
Radford et al., 2019), or the bytes that were masked (BERT, Devlin et al., 2019). Both are measured
on held-out text in nats, every byte predicted exactly once.
"""

from forethought.baselines.text.measuring import (
    masked_nats,
    next_token_nats,
    per_character,
    windows,
)
from forethought.baselines.text.model import TextModel
from forethought.baselines.text.retrieval import Whitening, nearest, passage_halves, top1
from forethought.baselines.text.tokens import (
    END,
    MASK,
    PAD,
    VOCABULARY,
    split,
    stream_of,
    tokenise,
    untokenise,
)
from forethought.baselines.text.training import (
    MaskedTokenConfig,
    NextTokenConfig,
    TextRun,
    TextStage,
    TextTraining,
    fine_tune,
    pretrain,
)

__all__ = [
    "END",
    "MASK",
    "PAD",
    "VOCABULARY",
    "MaskedTokenConfig",
    "NextTokenConfig",
    "TextModel",
    "TextRun",
    "TextStage",
    "TextTraining",
    "Whitening",
    "fine_tune",
    "masked_nats",
    "nearest",
    "next_token_nats",
    "passage_halves",
    "per_character",
    "pretrain",
    "split",
    "stream_of",
    "tokenise",
    "top1",
    "untokenise",
    "windows",
]
