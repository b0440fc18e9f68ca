"""Pictures of recordings: videos by their timestamps, image files, and how they are stored."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from forethought.data.importers.source import ImportSettings
from forethought.data.schema import ImageEncoding, as_bytes, encode_image
from forethought.types import ForethoughtError

SMALL = 128
TOLERANCE_FRAMES = 0.75


def encoding_for(settings: ImportSettings) -> ImageEncoding:
    """Small pictures raw, so that reading is fast; large ones as JPEG, so that they fit."""
    small = settings.image_size is not None and max(settings.image_size) <= SMALL
    return ImageEncoding.RAW if small else ImageEncoding.JPEG


def stored(frames: Iterable[np.ndarray], settings: ImportSettings) -> np.ndarray:
    """Pictures as an episode holds them: ``(n, height, width, 3)``, or ``(n,)`` of bytes."""
    encoding = encoding_for(settings)
    if encoding is ImageEncoding.RAW:
        return np.stack(list(frames))
    return as_bytes([encode_image(frame, encoding) for frame in frames])


def files_as_stored(paths: Sequence[Path], settings: ImportSettings) -> np.ndarray:
    """Image files as an episode holds them; JPEG is kept as it came unless it is to be reduced.

    Raises:
        ForethoughtError: names the file that is missing or cannot be decoded.
    """
    contents = [_read(path) for path in paths]
    if settings.image_size is None and all(content[:3] == b"\xff\xd8\xff" for content in contents):
        return as_bytes(contents)
    size = settings.image_size
    pictures = (opened(content, str(path)) for path, content in zip(paths, contents, strict=True))
    return stored((at_size(p, size or (p.shape[0], p.shape[1])) for p in pictures), settings)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise ForethoughtError(
            f"{path}: the image cannot be read ({error}). Copy it again, or leave its row out."
        ) from error
    return content


def size_of(content: bytes) -> tuple[int, int]:
    """Height and width of JPEG or PNG bytes."""
    with Image.open(io.BytesIO(content)) as image:
        return image.height, image.width


def opened(content: bytes, where: str) -> np.ndarray:
    """JPEG or PNG bytes as an image ``(height, width, 3)``."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise ForethoughtError(f"{where}: not an image ({error}); copy it again.") from error


def at_size(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image brought to height and width by area averaging."""
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BOX))


# ------------------------------------------------------------------------------- videos


def video_frames(
    path: Path, begin_s: float, length: int, fps: float, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """The frames shown at ``begin_s``, ``begin_s + 1/fps``, ...: for each the nearest in time.

    Raises:
        ForethoughtError: the video cannot be decoded, or lacks a frame for one of the times.
    """
    produced, previous = 0, None
    for frame in _decoded(path, begin_s - 1 / fps):
        while produced < length:
            due = begin_s + produced / fps
            if previous is None or frame.time - due < due - previous.time:
                break
            yield _shown(previous, due, fps, size, path)
            produced += 1
        if produced == length:
            return
        previous = frame
    while previous is not None and produced < length:
        yield _shown(previous, begin_s + produced / fps, fps, size, path)
        produced += 1
    if produced < length:
        raise ForethoughtError(f"{path}: the video holds no frames; copy it again.")


def _decoded(path: Path, from_s: float) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if from_s > 0:
                container.seek(int(from_s * av.time_base), backward=True)
            for frame in container.decode(stream):
                if frame.time is not None and frame.time >= from_s:
                    yield frame
    except (av.FFmpegError, IndexError) as error:
        raise ForethoughtError(
            f"{path}: the video cannot be decoded ({error}); copy it again, or leave its episode "
            "out with --episodes."
        ) from error


def _shown(
    frame: av.VideoFrame, due_s: float, fps: float, size: tuple[int, int], path: Path
) -> np.ndarray:
    time_s = frame.time
    assert time_s is not None
    if abs(time_s - due_s) > TOLERANCE_FRAMES / fps:
        raise ForethoughtError(
            f"{path}: no frame at second {due_s:.3f}, the nearest is at {time_s:.3f}; frames are "
            "missing or the video is cut short. Copy it again, or leave the episode out with "
            "--episodes."
        )
    return at_size(frame.to_ndarray(format="rgb24"), size)
