"""How episodes lie in a Lance table: one row per recorded step.

Columns: ``episode_index``, ``frame_index``, one per observation key, ``action``, ``task``. The
signature and the format's version are in the table's metadata. Images are bytes, raw and
compressed by Lance, or JPEG and PNG as they came.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from forethought.types import (
    ACTION,
    IMAGES,
    TASK,
    ArraySpec,
    Episode,
    ForethoughtError,
    Signature,
)

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
        origin: where the episodes come from, in JSON types: the arguments of a recording or an
            import. Appending needs the same origin, so that two recordings are never mixed.
    """

    signature: Signature
    encodings: Mapping[str, ImageEncoding]
    origin: Mapping[str, Any] = field(default_factory=dict)

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
            "origin": dict(self.origin),
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
            origin=content.get("origin", {}),
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


def _images(values: Any, encoding: ImageEncoding) -> pa.Array:
    if holds_bytes(values):
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


def decode_image(
    content: bytes | pa.Buffer, spec: ArraySpec, encoding: ImageEncoding
) -> np.ndarray:
    """The inverse: bytes to an image of the spec's shape."""
    if encoding is ImageEncoding.RAW:
        return np.frombuffer(content, np.uint8).reshape(spec.shape)
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def holds_bytes(values: Any) -> bool:
    """Whether images are given as JPEG or PNG bytes that are kept as they are."""
    return isinstance(values, np.ndarray) and values.dtype == object


def as_bytes(images: Sequence[bytes]) -> np.ndarray:
    """JPEG or PNG images ``(n,)`` as an episode holds them to be kept as they are."""
    values = np.empty(len(images), object)
    values[:] = images
    return values


# ------------------------------------------------------------------------------- refusals


def check_layout(layout: Layout, where: str) -> None:
    """Refuses a signature that the format cannot hold.

    Raises:
        ForethoughtError: names the key, what was found and what is expected.
    """
    for key, spec in layout.signature.observation.items():
        if key in layout.encodings:
            fits = spec.dtype == "uint8" and len(spec.shape) == 3 and spec.shape[2] == 3
            expected = "uint8 images (height, width, 3)"
        else:
            fits = spec.dtype == "float32" and len(spec.shape) == 1 and spec.shape[0] > 0
            expected = "float32 vectors (width,)"
        if not fits:
            raise ForethoughtError(
                f"{where}: {key!r} is {spec.dtype} {spec.shape}; expected {expected}. Cameras are "
                f"the keys that begin with {IMAGES!r}; flatten and convert everything else."
            )
    if unknown := set(layout.encodings) - set(layout.signature.cameras):
        raise ForethoughtError(
            f"{where}: an encoding is given for {sorted(unknown)[0]!r}, which is no camera of the "
            f"signature; cameras are {list(layout.signature.cameras)}."
        )


def check_episode(layout: Layout, episode: Episode, where: str) -> None:
    """Refuses an episode that is not what the layout says, before anything is written.

    Raises:
        ForethoughtError: names the episode, the key, what was found and what is expected.
    """
    signature, length = layout.signature, len(episode.action)
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
            f"{where}: key {key!r} {fault}; expected exactly {sorted(expected)}. Record the same "
            "keys in every episode, or start a dataset of another signature."
        )
    for key, spec in signature.observation.items():
        values = episode.observation[key]
        if holds_bytes(values):
            _check(where, key, len(values), length, "rows", "give as many as there are actions")
            _check_bytes(where, key, values, spec, layout.encodings.get(key))
        else:
            _check_array(where, key, np.asarray(values), (length, *spec.shape), spec.dtype)
    action = signature.action
    shape = (length,) if action.discrete else (length, action.dim)
    dtype = "int64" if action.discrete else "float32"
    _check_array(where, ACTION, np.asarray(episode.action), shape, dtype)
    if (
        action.discrete
        and not ((episode.action >= 0) & (episode.action < action.num_choices)).all()
    ):
        raise ForethoughtError(
            f"{where}: {ACTION!r} holds {int(np.min(episode.action))} to "
            f"{int(np.max(episode.action))}; expected 0 to {action.num_choices - 1}. Mend the "
            "action, or num_choices of the signature."
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


def _check_bytes(
    where: str, key: str, values: Any, spec: ArraySpec, encoding: ImageEncoding | None
) -> None:
    """Reads the header of every image; pixels are looked at when they are decoded."""
    if encoding in (None, ImageEncoding.RAW):
        raise ForethoughtError(
            f"{where}: {key!r} holds bytes, expected arrays; create the dataset with "
            f"encodings={{{key!r}: ImageEncoding.JPEG}} to keep images as they are."
        )
    for row, content in enumerate(values):
        try:
            with Image.open(io.BytesIO(content)) as image:
                found = (image.height, image.width, 3)
        except (UnidentifiedImageError, OSError) as error:
            raise ForethoughtError(
                f"{where}: {key!r} row {row} is no image ({len(content)} bytes); expected "
                f"{encoding.value.upper()}. Leave the row out, or take the frame anew."
            ) from error
        _check(where, key, found, spec.shape, f"in row {row} the shape", "resize it")


def _check(where: str, key: str, found: Any, expected: Any, what: str, remedy: str) -> None:
    if found != expected:
        raise ForethoughtError(
            f"{where}: {key!r} has {what} {found}, expected {expected}; {remedy}."
        )
