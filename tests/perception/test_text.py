"""Text in bytes, and what encoders make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forethought.checkers import check_encoder
from forethought.perception import ByteTextConfig, MLPEncoderConfig, to_bytes, to_text
from forethought.types import TASK_SPEC, ArraySpec, ForethoughtError


def texts(*words: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([to_bytes(word) for word in words]))[:, None]


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(1, 40)
)
def test_bytes_keep_whole_characters_up_to_their_length(text: str, length: int) -> None:
    values = to_bytes(text, length)
    assert values.shape == (length,) and values.dtype == np.uint8
    kept = to_text(torch.from_numpy(values))
    assert text.startswith(kept)
    missing = text[len(kept) :]
    assert not missing or len((kept + missing[0]).encode()) > length


def test_the_byte_transformer_conforms() -> None:
    check_encoder(ByteTextConfig().build(TASK_SPEC, 2), TASK_SPEC, frame_stack=2)


def test_equal_texts_give_equal_tokens_and_order_matters() -> None:
    torch.manual_seed(0)
    encoder = ByteTextConfig().build(TASK_SPEC, 1)
    tokens = encoder(texts("open the door", "", "door the open", "open the door"))
    assert torch.equal(tokens[0], tokens[3]) and torch.isfinite(tokens).all()
    for other in (1, 2):
        assert (tokens[0] - tokens[other]).abs().max() > 1e-3


def test_padding_does_not_matter() -> None:
    """The same text in a longer row is the same, whatever the places of padding have learned."""
    torch.manual_seed(0)
    encoder = ByteTextConfig().build(TASK_SPEC, 1)
    before = encoder(texts("push"))
    with torch.no_grad():
        encoder.places.weight[5:].normal_()
        encoder.letters.weight[0].normal_()
    torch.testing.assert_close(encoder(texts("push")), before)


def test_the_latest_frame_counts() -> None:
    encoder = ByteTextConfig().build(TASK_SPEC, 2)
    changed = torch.cat([texts("left"), texts("right")], dim=1)
    torch.testing.assert_close(encoder(changed), encoder(texts("right")))


def test_other_than_text_is_refused_and_text_elsewhere() -> None:
    with pytest.raises(ForethoughtError, match="ByteTextConfig for text"):
        MLPEncoderConfig().build(TASK_SPEC, 1)
    with pytest.raises(ForethoughtError, match="needs text"):
        ByteTextConfig().build(ArraySpec(shape=(4,), dtype="float32"), 1)
