"""How episodes lie in a Lance table: one row per recorded step.

Columns: ``episode_index``, ``frame_index``, one per observation key, ``action``, ``task``. The
signature and the format's version are in the table's metadata. Images are bytes, raw and
compressed by Lance, or JPEG and PNG as they came.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from forethought.types import ACTION, TASK, ArraySpec, Episode, ForethoughtError, Signature

FORMAT = 1
EPISODE, FRAME = "episode_index", "frame_index"
META = b"forethought"


class ImageEncoding(str, Enum):
    """How the images of a camera are stored."""

    RAW = "raw"
    PNG = "png"
    JPEG = "jpeg"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A dataset's signature, and how its cameras are stored.

    Attributes:
        signature: observations and actions.
        encodings: per camera, how its images are stored.
    """

    signature: Signature
    encodings: Mapping[str, ImageEncoding]

    def schema(self) -> pa.Schema:
        """The Arrow schema, with the layout in its metadata."""
        fields = [pa.field(EPISODE, pa.int64()), pa.field(FRAME, pa.int64())]
        fields += [self._field(key, spec) for key, spec in self.signature.observation.items()]
        action = self.signature.action
        kind = pa.int64() if action.discrete else pa.list_(pa.float32(), action.dim)
        fields += [pa.field(ACTION, kind), pa.field(TASK, pa.string())]
        content = {
            "format": FORMAT,
            "signature": self.signature.to_json(),
            "encodings": {key: value.value for key, value in self.encodings.items()},
        }
        return pa.schema(fields, metadata={META: json.dumps(content).encode()})

    def _field(self, key: str, spec: ArraySpec) -> pa.Field:
        if key not in self.encodings:
            return pa.field(column_of(key), pa.list_(pa.float32(), spec.shape[0]))
        raw = self.encodings[key] is ImageEncoding.RAW
        compression = {b"lance-encoding:compression": b"zstd"} if raw else {}
        return pa.field(column_of(key), pa.large_binary(), metadata=compression)

    @classmethod
    def of_schema(cls, schema: pa.Schema, path: Path) -> Layout:
        """Reads the layout of a table.

        Raises:
            ForethoughtError: not a dataset of ours, or of another format version.
        """
        metadata = schema.metadata or {}
        if META not in metadata:
            raise ForethoughtError(
                f"{path}: a Lance table, but not one of forethought's (its metadata lacks "
                f"{META.decode()!r}). Import it with a mapping file, see `data import`."
            )
        content = json.loads(metadata[META])
        if content.get("format") != FORMAT:
            raise ForethoughtError(
                f"{path}: found dataset format {content.get('format')!r}, this version reads "
                f"{FORMAT}. Install the version of forethought that wrote it, or import again."
            )
        return cls(
            signature=Signature.from_json(content["signature"]),
            encodings={key: ImageEncoding(value) for key, value in content["encodings"].items()},
        )


def column_of(key: str) -> str:
    """The column of a key; Lance keeps dots for nested fields."""
    return key.replace(".", "/")


# ------------------------------------------------------------------------------- rows


def episode_table(layout: Layout, episode: Episode, index: int) -> pa.Table:
    """The rows of one episode."""
    length = len(episode)
    columns: list[pa.Array] = [pa.array(np.full(length, index)), pa.array(np.arange(length))]
    for key in layout.signature.observation:
        values = episode.observation[key]
        if key in layout.encodings:
            columns.append(_images(values, layout.encodings[key]))
        else:
            columns.append(_vectors(values))
    if layout.signature.action.discrete:
        columns.append(pa.array(np.asarray(episode.action, np.int64)))
    else:
        columns.append(_vectors(episode.action))
    columns.append(pa.array([episode.task] * length, pa.string()))
    return pa.Table.from_arrays(columns, schema=layout.schema())


def _vectors(values: np.ndarray) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _images(values: Sequence[Any] | np.ndarray, encoding: ImageEncoding) -> pa.Array:
    if len(values) and isinstance(values[0], bytes):
        return pa.array(list(values), pa.large_binary())
    if encoding is ImageEncoding.RAW:
        images = np.ascontiguousarray(values)
        offsets = np.arange(len(images) + 1, dtype=np.int64) * images[0].size
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(images.reshape(-1))]
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(images), buffers)
    return pa.array([encode_image(image, encoding) for image in values], pa.large_binary())


def encode_image(image: np.ndarray, encoding: ImageEncoding) -> bytes:
    """An image ``(height, width, 3)`` as PNG or JPEG bytes."""
    buffer = io.BytesIO()
    settings = {"quality": 95} if encoding is ImageEncoding.JPEG else {"compress_level": 1}
    Image.fromarray(image).save(buffer, format=encoding.value.upper(), **settings)
    return buffer.getvalue()


def decode_image(content: bytes | pa.Buffer, spec: ArraySpec, encoding: ImageEncoding) -> np.ndarray:
    """The inverse: bytes to an image of the spec's shape."""
    if encoding is ImageEncoding.RAW:
        return np.frombuffer(content, np.uint8).reshape(spec.shape)
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


# ------------------------------------------------------------------------------- refusals


def check_episode(signature: Signature, episode: Episode, where: str) -> None:
    """Refuses an episode that is not what the signature says, before anything is written.

    Raises:
        ForethoughtError: names the episode, the key, what was found and what is expected.
    """
    length = len(episode.action)
    if length < 2:
        raise ForethoughtError(
            f"{where}: {length} rows; an episode needs at least 2 (one action between two "
            "observations). Leave it out."
        )
    found, expected = set(episode.observation), set(signature.observation)
    if found != expected:
        key = sorted(found ^ expected)[0]
        fault = "is missing" if key in expected else "is not in the signature"
        raise ForethoughtError(
            f"{where}: key {key!r} {fault}; expected exactly {sorted(expected)}."
        )
    for key, spec in signature.observation.items():
        values = episode.observation[key]
        if isinstance(values, list) and values and isinstance(values[0], bytes):
            _check(where, key, len(values), length, "rows", "as many as there are actions")
            continue
        _check_array(where, key, np.asarray(values), (length, *spec.shape), spec.dtype)
    action = signature.action
    shape = (length,) if action.discrete else (length, action.dim)
    dtype = "int64" if action.discrete else "float32"
    _check_array(where, ACTION, np.asarray(episode.action), shape, dtype)
    if action.discrete and not ((episode.action >= 0) & (episode.action < action.num_choices)).all():
        raise ForethoughtError(
            f"{where}: {ACTION!r} holds {int(np.min(episode.action))} to "
            f"{int(np.max(episode.action))}; expected 0 to {action.num_choices - 1}."
        )


def _check_array(
    where: str, key: str, values: np.ndarray, shape: tuple[int, ...], dtype: str
) -> None:
    _check(where, key, values.shape, shape, "shape", "reshape it, or mend the signature")
    _check(where, key, str(values.dtype), dtype, "dtype", f"convert it with .astype({dtype!r})")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise ForethoughtError(
            f"{where}: {key!r} holds NaN or infinite values, first in row {row}; expected finite "
            "numbers. Cut the episode there, or fill the gap before recording."
        )


def _check(where: str, key: str, found: Any, expected: Any, what: str, remedy: str) -> None:
    if found != expected:
        raise ForethoughtError(
            f"{where}: {key!r} has {what} {found}, expected {expected}; {remedy}."
        )
