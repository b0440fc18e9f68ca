"""From stored rows to contiguous arrays: read in pieces, decoded by several threads."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
from PIL import Image

from forethought.data.schema import ImageEncoding, Layout, column_of, decode_image
from forethought.types import (
    ACTION,
    TASK,
    TASK_BYTES,
    ArraySpec,
    ForethoughtError,
    to_bytes,
)

PIECE_ROWS = 1024
READ_ERRORS = (ValueError, OSError, pa.ArrowException, RuntimeError)


class RowReader:
    """Reads columns of the table at given rows.

    Args:
        path: folder of the dataset, named in errors.
        table: the Lance table there.
        layout: how its columns are stored.
    """

    def __init__(self, path: Path, table: lance.LanceDataset, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self.version = int(table.version)
        self._table = table

    def column(self, key: str) -> pa.Array:
        """A whole column."""
        try:
            column = self._table.to_table(columns=[column_of(key)]).column(0)
        except READ_ERRORS as error:
            raise self._unreadable(key, error) from error
        return column.combine_chunks()

    def take(self, key: str, rows: np.ndarray) -> pa.Array:
        """A column at ``rows``, in their order."""
        columns = [column_of(key)]
        try:
            if _consecutive(rows):
                # Several times faster than taking row by row.
                found = self._table.to_table(columns, offset=int(rows[0]), limit=len(rows))
            else:
                found = self._table.take(rows.tolist(), columns=columns)
        except READ_ERRORS as error:
            raise self._unreadable(key, error) from error
        return found.column(0).combine_chunks()

    def actions(self, rows: np.ndarray) -> np.ndarray:
        """Actions ``(rows, dim)`` float32, or ``(rows,)`` int64 where discrete."""
        spec = self.layout.signature.action
        if spec.discrete:
            return np.array(self.take(ACTION, rows).to_numpy(), np.int64)
        return self.vectors(ACTION, rows, spec.dim)

    def vectors(self, key: str, rows: np.ndarray, width: int) -> np.ndarray:
        """Vectors ``(rows, width)`` float32."""
        flat = self.take(key, rows).flatten().to_numpy(zero_copy_only=False)
        return np.array(flat.reshape(-1, width), np.float32)

    def texts(self, rows: np.ndarray) -> np.ndarray:
        """The task of each row ``(rows, TASK_BYTES)`` as bytes."""
        column = self.take(TASK, rows).dictionary_encode()
        words = [to_bytes(text or "") for text in column.dictionary.to_pylist()]
        return np.array(words, np.uint8).reshape(-1, TASK_BYTES)[column.indices.to_numpy()]

    def _unreadable(self, key: str, error: Exception) -> ForethoughtError:
        return ForethoughtError(
            f"{self.path}: {key!r} cannot be read ({first_line(error)}); files are missing or cut "
            "short. Copy, record or import the dataset again."
        )


def _consecutive(rows: np.ndarray) -> bool:
    return len(rows) > 1 and bool((np.diff(rows) == 1).all())


def first_line(error: Exception) -> str:
    """The first line of what Lance says, which can be pages long."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def array_for(
    reader: RowReader,
    key: str,
    rows: np.ndarray,
    spec: ArraySpec,
    *,
    cache: Path | None = None,
    memory_limit_bytes: int = 0,
) -> np.ndarray:
    """The values of an observation key at ``rows``: ``(rows, *spec.shape)``.

    Images are brought to the spec's size. What is larger than the limit is kept in a file under
    ``cache``, which is found again next time.
    """
    if key == TASK:
        return reader.texts(rows)
    if key not in reader.layout.encodings:
        return reader.vectors(key, rows, spec.shape[0])
    shape = (len(rows), *spec.shape)
    if cache is None or math.prod(shape) <= memory_limit_bytes:
        array = np.empty(shape, np.uint8)
        _fill(array, reader, key, rows)
        return array
    return _cached(reader, key, rows, shape, cache)


def _cached(
    reader: RowReader, key: str, rows: np.ndarray, shape: tuple[int, ...], cache: Path
) -> np.ndarray:
    place = cache / f"{key}.{_fingerprint(reader, key, rows, shape)}.raw"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_suffix(f".{os.getpid()}.part")
        array = np.memmap(unfinished, dtype=np.uint8, mode="w+", shape=shape)
        _fill(array, reader, key, rows)
        array.flush()
        del array
        unfinished.replace(place)
    # Copy on write: tensors over the file are writable, the file is not.
    return np.memmap(place, dtype=np.uint8, mode="c", shape=shape)


def _fingerprint(reader: RowReader, key: str, rows: np.ndarray, shape: tuple[int, ...]) -> str:
    said = json.dumps([str(reader.path.resolve()), reader.version, key, shape])
    return hashlib.sha256(said.encode() + rows.tobytes()).hexdigest()[:16]


# ------------------------------------------------------------------------------- images


def _fill(array: np.ndarray, reader: RowReader, key: str, rows: np.ndarray) -> None:
    """Decodes pieces of the rows at once; Lance, Pillow and NumPy let go of the interpreter."""
    encoding = reader.layout.encodings[key]
    stored = reader.layout.signature.observation[key]

    def fill(span: slice) -> None:
        column = reader.take(key, rows[span])
        if encoding is ImageEncoding.RAW and stored.shape == array.shape[1:]:
            array[span] = _raw_images(column, stored)
            return
        for place, content in zip(range(span.start, span.stop), column, strict=True):
            array[place] = _image(
                reader, key, content.as_buffer(), array.shape[1:3], int(rows[place])
            )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(fill, _spans(len(rows))):
            pass


def _spans(count: int) -> Iterator[slice]:
    for start in range(0, count, PIECE_ROWS):
        yield slice(start, min(start + PIECE_ROWS, count))


def _raw_images(column: pa.Array, spec: ArraySpec) -> np.ndarray:
    """Raw images lie one after another in the column's buffer."""
    _, offsets, content = column.buffers()
    if content is None:
        return np.empty((0, *spec.shape), np.uint8)
    bounds = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    pixels = np.frombuffer(content, np.uint8)[bounds[0] : bounds[-1]]
    return pixels.reshape(len(column), *spec.shape)


def _image(
    reader: RowReader, key: str, content: pa.Buffer, size: tuple[int, ...], row: int
) -> np.ndarray:
    spec, encoding = reader.layout.signature.observation[key], reader.layout.encodings[key]
    try:
        image = decode_image(content, spec, encoding)
    except (OSError, SyntaxError) as error:
        raise ForethoughtError(
            f"{reader.path}: {key!r} row {row} of the table is a damaged image "
            f"({first_line(error)}). Leave its episode out, or import the data again."
        ) from error
    if image.shape[:2] == tuple(size):
        return image
    reduced = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BOX)
    return np.asarray(reduced)
