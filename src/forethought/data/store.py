"""The episode store: append whole episodes, lose none that was finished.

Every append is one commit of a Lance table: a reader sees all of its episodes or none. What a
killed writer left half-written belongs to no commit, is never read, and is swept up later.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import lance
import pyarrow as pa

from forethought.data.dataset import Dataset, EpisodeArrays, open_dataset
from forethought.data.moments import Moments, Statistics
from forethought.data.schema import (
    ImageEncoding,
    Layout,
    check_episode,
    check_layout,
    episode_table,
)
from forethought.types import Episode, ForethoughtError, Signature

STORAGE_VERSION = "2.1"
MANY_FRAGMENTS = 64
FRAGMENT_ROWS = 1 << 18

open = open_dataset


class EpisodeWriter:
    """Appends whole episodes to a dataset; one writer at a time.

    What :meth:`append` has returned from is on disk and stays there whatever happens to the
    process; what it was writing when killed is not seen by any reader.

    Args:
        path: folder of the dataset.
        layout: what episodes must be like.
        num_episodes: episodes it already holds.
    """

    def __init__(self, path: Path, layout: Layout, num_episodes: int) -> None:
        self.path = path
        self.layout = layout
        self.num_episodes = num_episodes
        self._version = lance.dataset(str(path)).version

    def append(self, episodes: Sequence[Episode]) -> None:
        """Adds episodes in one commit: all of them, or none.

        Raises:
            ForethoughtError: an episode is not as the signature says, the disk is full, or
                another program has written to the dataset.
        """
        if not episodes:
            return
        for number, episode in enumerate(episodes, start=self.num_episodes):
            check_episode(self.layout, episode, f"{self.path}: episode {number}")
        table = pa.concat_tables(
            episode_table(self.layout, episode, number)
            for number, episode in enumerate(episodes, start=self.num_episodes)
        )
        self._refuse_second_writer()
        self._version = commit(self.path, table, mode="append")
        self.num_episodes += len(episodes)

    def close(self) -> None:
        """Joins the many small files that many commits leave.

        Datasets opened before must be opened again, since their files are gone.
        """
        table = lance.dataset(str(self.path))
        if len(table.get_fragments()) <= MANY_FRAGMENTS:
            return
        try:
            table.optimize.compact_files(target_rows_per_fragment=FRAGMENT_ROWS)
            table.cleanup_old_versions(older_than=timedelta(0))
        except OSError as error:
            # The small files do as well; there is only no room for joining them.
            if not _disk_full(error):
                raise

    def _refuse_second_writer(self) -> None:
        found = lance.dataset(str(self.path)).version
        if found != self._version:
            raise ForethoughtError(
                f"{self.path}: another program has written to the dataset (version {found}, "
                f"expected {self._version}). Stop one of them and continue with --resume."
            )

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()


def create(
    path: Path | str,
    signature: Signature,
    *,
    encodings: Mapping[str, ImageEncoding] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> EpisodeWriter:
    """A new, empty dataset, open for appending.

    Args:
        path: folder to make.
        signature: observations and actions.
        encodings: how each camera is stored; raw, compressed without loss, where not said.
        origin: where the episodes come from, in JSON types; kept with the dataset.

    Raises:
        ForethoughtError: something is at ``path`` already, the signature cannot be stored, or the
            disk is full.
    """
    path = Path(path)
    chosen = dict.fromkeys(signature.cameras, ImageEncoding.RAW) | dict(encodings or {})
    layout = Layout(signature=signature, encodings=chosen, origin=dict(origin or {}))
    check_layout(layout, str(path))
    if abandoned(path):
        shutil.rmtree(path)
    if path.exists():
        raise ForethoughtError(
            f"{path}: something is there already. Add to a dataset with --resume, or choose "
            "another path."
        )
    commit(path, layout.schema().empty_table(), mode="create")
    return EpisodeWriter(path, layout, 0)


def append_to(
    path: Path | str, signature: Signature, *, origin: Mapping[str, Any] | None = None
) -> EpisodeWriter:
    """An existing dataset, open for appending.

    Args:
        path: folder of the dataset.
        signature: observations and actions; must be those of the dataset.
        origin: where the episodes come from; must be that of the dataset, where said.

    Raises:
        ForethoughtError: no dataset there, or one with another signature or origin.
    """
    data = open(path)
    _refuse_difference(data.path, data.signature.to_json(), _plain(signature.to_json()))
    if origin is not None:
        _refuse_difference(data.path, dict(data.origin), _plain(dict(origin)))
    return EpisodeWriter(data.path, data.layout, data.num_episodes)


def abandoned(path: Path) -> bool:
    """Whether ``path`` is what a writer left that was killed before its first commit."""
    if not path.is_dir():
        return False
    parts = {entry.name for entry in path.iterdir()}
    committed = any((path / "_versions").glob("*.manifest"))
    return bool(parts) and parts <= {"data", "_versions", "_transactions"} and not committed


# ------------------------------------------------------------------------------- parts


def commit(path: Path, table: pa.Table, *, mode: str) -> int:
    """Writes rows of any table as one commit; returns the version that it made.

    Raises:
        ForethoughtError: the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = lance.write_dataset(
            table, str(path), mode=mode, data_storage_version=STORAGE_VERSION
        )
    except OSError as error:
        if not _disk_full(error):
            raise
        raise ForethoughtError(
            f"{path}: the disk is full. What was written before is safe; free some space and "
            "continue with --resume."
        ) from error
    return written.version


def _disk_full(error: OSError) -> bool:
    """Lance hands on the system's words without its number."""
    said = str(error)
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return error.errno in codes or any(f"os error {code}" in said for code in codes)


def _plain(content: Any) -> Any:
    """As it comes back from JSON: tuples are lists."""
    if isinstance(content, Mapping):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return content


def _refuse_difference(path: Path, found: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for part in sorted(found.keys() | given.keys()):
        if _plain(found.get(part)) != given.get(part):
            raise ForethoughtError(
                f"{path}: the dataset there has {part} {found.get(part)}, what is to be added has "
                f"{given.get(part)}. Use the same as before, or choose another path."
            )


__all__ = [
    "Dataset",
    "EpisodeArrays",
    "EpisodeWriter",
    "Moments",
    "Statistics",
    "append_to",
    "create",
    "open",
]
