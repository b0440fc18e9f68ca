"""Episodic memory: what was lived through, kept on disk; found by likeness, time or name.

A memory is one Lance table, a row for each moment: its latents as the key of a vector index, when
it was, what it is called, what was done then, and what was seen. Everything added is one commit: a
process that is killed loses at most what it was adding. It needs ``pip install
'forethought[data]'``, and is therefore imported from here and not with the room.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from safetensors.numpy import load, save
from torch import Tensor

from forethought.data.store import abandoned, commit
from forethought.memory.reads import ReadLog
from forethought.types import ForethoughtError

FORMAT = 1
KEY = "key"
When = datetime | float | int
"""A time, or its seconds since 1970."""
INDEX = "nearest"
"""Name of the index, and of the number of moments that it knows."""
INDEXED_ROWS = 50_000
"""Moments from which on an index is worth its while: fewer are compared one by one."""
GROWN = 0.2
"""Share of the moments that may be unknown to the index before it is made anew."""
PARTITION_ROWS = 512
"""Moments of a partition of the index, about."""
PROBED = 0.1
"""Share of the partitions that are looked into."""
MANY_FRAGMENTS = 64
PLAIN = ["row", "episode", "step", "at", "labels", "text", "acted"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One remembered moment.

    Attributes:
        row: its number in the memory, in the order in which moments were added.
        episode: number of its episode in the memory.
        step: world steps of the episode before it.
        at: when it was, in seconds since 1970.
        labels: what it is called.
        text: what is said of it.
        latents: ``(k, d)``.
        action: ``(c,)`` the world action that was taken then; None where none is known.
        distance: from what was looked for, in the space of latents; NaN where nothing was.
    """

    row: int
    episode: int
    step: int
    at: float
    labels: tuple[str, ...]
    text: str
    latents: Float[Tensor, "k d"]
    action: Float[Tensor, " c"] | None
    distance: float = math.nan


@dataclass(frozen=True, kw_only=True)
class RememberedWindows:
    """Stretches of consecutive moments, to learn from again.

    Attributes:
        latents: ``(n, t, k, d)`` as they were when they were added.
        actions: ``(n, t - 1, c)`` world actions between them.
        episode: ``(n,)``.
        step: ``(n,)`` at which each begins.
        observation: per key ``(n, t, ...)``; empty where not asked for.
    """

    latents: Float[Tensor, "n t k d"]
    actions: Float[Tensor, "n t_minus_1 c"]
    episode: np.ndarray
    step: np.ndarray
    observation: Mapping[str, np.ndarray]


class EpisodicMemory:
    """A memory on disk; made where there is none. One process may add to it, many may look.

    Args:
        path: folder.
        shape: ``(k, d)`` of the latents.
        action_width: of a world action as a vector; one-hot where discrete.

    Raises:
        ForethoughtError: something else is there, or a memory of other latents or actions.
    """

    def __init__(self, path: Path | str, *, shape: tuple[int, int], action_width: int) -> None:
        self.path, self.shape, self.action_width = Path(path), tuple(shape), action_width
        if not self.path.exists() or abandoned(self.path):
            commit(self.path, self._schema().empty_table(), mode="create")
        self._table = self._opened()
        self._load()

    def __len__(self) -> int:
        return len(self._episodes)

    @property
    def num_episodes(self) -> int:
        """Episodes that it holds."""
        return int(self._episodes.max()) + 1 if len(self) else 0

    # ------------------------------------------------------------------ add

    def add(
        self,
        latents: Float[Tensor, "t k d"],
        *,
        at: Sequence[float | int],
        actions: Float[Tensor, "t c"] | None = None,
        labels: Sequence[str] = (),
        text: str = "",
        observation: Mapping[str, np.ndarray] | None = None,
        episode: int | None = None,
    ) -> int:
        """Remembers moments of one episode, all of them or none.

        Args:
            latents: what was perceived, oldest first; one moment is ``t = 1``.
            at: when each was, in seconds since 1970.
            actions: the world action taken at each; the last of an episode led nowhere.
            labels: what these moments are called.
            text: what is said of them.
            observation: what was seen, per key ``(t, ...)``.
            episode: that they go on with; a new one where not said.

        Returns:
            The number of the episode.

        Raises:
            ForethoughtError: something does not fit, is not finite, the disk is full, or another
                process has added to the memory.
        """
        seen = dict(observation or {})
        self._check(latents, at, actions, seen)
        number = self.num_episodes if episode is None else episode
        if not 0 <= number <= self.num_episodes - (episode is not None):
            raise ForethoughtError(
                f"{self.path}: episode {number} is not among the {self.num_episodes} there are; "
                "leave it out to begin a new one."
            )
        count = len(latents)
        first = int((self._episodes == number).sum())
        given = torch.zeros(count, self.action_width) if actions is None else actions
        columns = {
            "row": np.arange(len(self), len(self) + count),
            "episode": np.full(count, number),
            "step": np.arange(first, first + count),
            "at": np.asarray(at, np.float64),
            "labels": [list(labels)] * count,
            "text": [text] * count,
            "acted": np.full(count, actions is not None),
            "action": _vectors(given),
            KEY: _vectors(latents),
            "observation": [_packed(seen, i) for i in range(count)],
        }
        self._refuse_second_writer()
        commit(self.path, pa.table(columns, schema=self._schema()), mode="append")
        self._table = lance.dataset(str(self.path))
        self._episodes = np.concatenate([self._episodes, columns["episode"]])
        self._steps = np.concatenate([self._steps, columns["step"]])
        self._acted = np.concatenate([self._acted, columns["acted"]])
        self._actions = torch.cat([self._actions, given.detach().float().cpu()])
        self._sorted = None
        return number

    def tidy(self) -> None:
        """Joins the small files of many additions, and makes the index anew where it has grown old.

        Whoever has the memory open must open it again. Worth doing now and then, and at the end.
        """
        if len(self._table.get_fragments()) > MANY_FRAGMENTS:
            self._table.optimize.compact_files()
        # Kept with the table, and behind the index: killed in between, it is made once more.
        unknown = len(self) - int(self._table.config().get(INDEX, 0))
        if len(self) >= INDEXED_ROWS and unknown > GROWN * len(self):
            self._table.create_index(
                KEY,
                index_type="IVF_FLAT",
                name=INDEX,
                num_partitions=len(self) // PARTITION_ROWS,
                replace=True,
            )
            self._table.update_config({INDEX: str(len(self))})
        self._table = lance.dataset(str(self.path))
        self._table.cleanup_old_versions(older_than=timedelta(0))

    # ------------------------------------------------------------------ look for

    def nearest(
        self,
        latents: Float[Tensor, "k d"],
        number: int,
        *,
        label: str | None = None,
        after: When | None = None,
        before: When | None = None,
        exact: bool = False,
    ) -> list[Moment]:
        """The moments whose latents lie nearest, nearest first; fewer where there are fewer.

        Args:
            latents: what is looked for.
            number: of moments.
            label: that they are called by.
            after: the earliest time.
            before: moments at this time or later are left out.
            exact: compare with all, even where there is an index. Through the index a few of the
                nearest may be missed; moments added since it was made are all compared.

        Raises:
            ForethoughtError: the latents have another shape, or are not finite.
        """
        self._check_latents(latents, self.shape)
        if not len(self):
            return []
        probes = max(1, math.ceil(PROBED * len(self) / PARTITION_ROWS))
        found = self._table.to_table(
            columns=[*PLAIN, "action", KEY, "_distance"],
            filter=_condition(label, after, before, None),
            prefilter=True,
            nearest={
                "column": KEY,
                "q": latents.flatten().float().cpu().numpy(),
                "k": number,
                "metric": "l2",
                "use_index": not exact,
                "nprobes": probes,
            },
        )
        moments = self._moments(found)
        return sorted(moments, key=lambda one: (one.distance, one.row))

    def moments(
        self,
        *,
        label: str | None = None,
        after: When | None = None,
        before: When | None = None,
        episode: int | None = None,
    ) -> list[Moment]:
        """Moments by name, time or episode, in the order in which they were added."""
        columns = [*PLAIN, "action", KEY]
        condition = _condition(label, after, before, episode)
        found = self._table.to_table(columns=columns, filter=condition)
        return sorted(self._moments(found), key=lambda one: one.row)

    def observation(self, moment: Moment) -> dict[str, np.ndarray]:
        """What was seen at a moment, by key: also a goal, ``cost.goal(observation=...)``.

        Raises:
            ForethoughtError: no observation was kept.
        """
        packed = self._taken([moment.row], ["row", "observation"])["observation"][0].as_py()
        if not packed:
            raise ForethoughtError(
                f"{self.path}: of step {moment.step} of episode {moment.episode} nothing seen was "
                "kept; add moments with observation=... to have it."
            )
        return load(packed)

    def windows(
        self,
        number: int,
        length: int,
        *,
        generator: torch.Generator,
        observation: bool = False,
    ) -> RememberedWindows:
        """Stretches of consecutive moments, drawn evenly from all that there are, with return.

        Args:
            number: of stretches.
            length: moments of each.
            generator: the only source of randomness.
            observation: read what was seen as well.

        Raises:
            ForethoughtError: no episode has so many moments with actions between them, or
                observations were asked for that were not kept.
        """
        starts = np.flatnonzero(self._places.left >= length - 1)
        if not len(starts):
            raise ForethoughtError(
                f"{self.path}: no episode has {length} moments with actions between them; ask for "
                "shorter stretches."
            )
        drawn = torch.randint(
            len(starts), (number,), generator=generator, device=generator.device
        ).tolist()
        chosen = starts[drawn]
        rows = np.stack([self._places.following(row, length) for row in chosen.tolist()])
        flat, back = np.unique(rows.ravel(), return_inverse=True)
        latents = self._stacked(self._taken(flat.tolist(), ["row", KEY])[KEY])
        seen: dict[str, np.ndarray] = {}
        if observation:
            seen = self._seen(flat.tolist(), back.reshape(rows.shape))
        return RememberedWindows(
            latents=latents[back].unflatten(0, rows.shape).unflatten(-1, self.shape),
            actions=self._actions[rows[:, :-1]],
            episode=self._episodes[chosen],
            step=self._steps[chosen],
            observation=seen,
        )

    # ------------------------------------------------------------------ parts

    def following(self, row: int, steps: int) -> Float[Tensor, "s c"]:
        """World actions from a moment on, up to so many; fewer where the episode ends before."""
        return self._actions[self._places.following(row, min(steps, int(self._places.left[row])))]

    def goes_on(self, moment: Moment, steps: int) -> bool:
        """Whether at least so many world steps are known to follow on a moment."""
        return bool(self._places.left[moment.row] >= steps)

    @property
    def _places(self) -> _Places:
        """Where every moment lies in its episode, as of the latest addition."""
        if self._sorted is None:
            self._sorted = _Places(self._episodes, self._steps, self._acted)
        return self._sorted

    def _load(self) -> None:
        """Order and actions of all moments, which are looked at all the time."""
        plain = self._table.to_table(columns=["row", "episode", "step", "acted", "action"])
        rows = plain["row"].to_numpy()
        if not np.array_equal(rows, np.arange(len(rows))):
            raise ForethoughtError(f"{self.path}: moments are out of order; restore a copy of it.")
        self._episodes, self._steps = plain["episode"].to_numpy(), plain["step"].to_numpy()
        self._acted = np.asarray(plain["acted"].to_numpy())
        self._actions = self._stacked(plain["action"], self.action_width)
        self._sorted: _Places | None = None

    def _moments(self, table: pa.Table) -> list[Moment]:
        keys = self._stacked(table[KEY]).unflatten(-1, self.shape)
        actions = self._stacked(table["action"], self.action_width)
        return [
            Moment(
                row=row["row"],
                episode=row["episode"],
                step=row["step"],
                at=row["at"],
                labels=tuple(row["labels"]),
                text=row["text"],
                latents=keys[i],
                action=actions[i] if row["acted"] else None,
                distance=math.sqrt(max(0.0, row.get("_distance", math.nan))),
            )
            for i, row in enumerate(table.drop_columns([KEY, "action"]).to_pylist())
        ]

    def _stacked(self, column: pa.ChunkedArray, width: int | None = None) -> Tensor:
        """Vectors of a column as ``(rows, width)``."""
        width = math.prod(self.shape) if width is None else width
        parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
        values = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return torch.from_numpy(values.astype(np.float32).reshape(-1, width))

    def _taken(self, rows: list[int], columns: list[str]) -> pa.Table:
        """Some rows, in this order."""
        table = self._table.take(rows, columns=columns)
        if table["row"].to_pylist() != rows:
            raise ForethoughtError(f"{self.path}: moments are out of order; restore a copy of it.")
        return table

    def _seen(self, rows: list[int], back: np.ndarray) -> dict[str, np.ndarray]:
        packed = self._taken(rows, ["row", "observation"])["observation"].to_pylist()
        if not all(packed):
            raise ForethoughtError(
                f"{self.path}: what was seen was not kept of every moment; add all moments with "
                "observation=..., or ask for windows without."
            )
        unpacked = [load(one) for one in packed]
        return {key: np.stack([one[key] for one in unpacked])[back] for key in unpacked[0]}

    def _schema(self) -> pa.Schema:
        made = {"format": FORMAT, "shape": list(self.shape), "action_width": self.action_width}
        fields = {
            "row": pa.int64(),
            "episode": pa.int64(),
            "step": pa.int64(),
            "at": pa.float64(),
            "labels": pa.list_(pa.string()),
            "text": pa.string(),
            "acted": pa.bool_(),
            "action": pa.list_(pa.float32(), self.action_width),
            KEY: pa.list_(pa.float32(), math.prod(self.shape)),
            "observation": pa.large_binary(),
        }
        return pa.schema(list(fields.items()), metadata={"forethought.memory": json.dumps(made)})

    def _opened(self) -> Any:
        try:
            table = lance.dataset(str(self.path))
        except (ValueError, OSError) as error:
            raise ForethoughtError(
                f"{self.path}: no memory that can be read ({error}); give another folder."
            ) from error
        metadata = table.schema.metadata or {}
        expected = (self._schema().metadata or {})[b"forethought.memory"]
        found = metadata.get(b"forethought.memory", b"nothing of the kind")
        if found != expected:
            raise ForethoughtError(
                f"{self.path}: found {found.decode()}, expected {expected.decode()}. Latents of "
                "another model cannot be compared: give a memory of its own to each."
            )
        return table

    def _refuse_second_writer(self) -> None:
        latest = lance.dataset(str(self.path)).version
        if latest != self._table.version:
            raise ForethoughtError(
                f"{self.path}: another process has changed the memory (version {latest}, expected "
                f"{self._table.version}). Let one process add, and open it again."
            )

    def _check(
        self,
        latents: Tensor,
        at: Sequence[float | int],
        actions: Tensor | None,
        seen: Mapping[str, np.ndarray],
    ) -> None:
        count = len(latents)
        self._check_latents(latents, (count, *self.shape))
        lengths = {f"observation {key!r}": len(value) for key, value in seen.items()}
        for what, length in {"at": len(at), **lengths}.items():
            if length != count:
                raise ForethoughtError(f"{what} has {length} rows for {count} moments; give each.")
        if not np.isfinite(np.asarray(at, np.float64)).all():
            raise ForethoughtError("at holds NaN or infinite times; give seconds since 1970.")
        if actions is not None and (
            tuple(actions.shape) != (count, self.action_width) or not bool(actions.isfinite().all())
        ):
            raise ForethoughtError(
                f"actions are of shape {tuple(actions.shape)}; expected finite world actions of "
                f"shape {(count, self.action_width)}."
            )

    def _check_latents(self, latents: Tensor, expected: tuple[int, ...]) -> None:
        fits = tuple(latents.shape) == tuple(expected) and latents.numel()
        if not fits or not bool(latents.isfinite().all()):
            raise ForethoughtError(
                f"latents are of shape {tuple(latents.shape)}; expected finite ones of shape "
                f"{tuple(expected)}, at least one."
            )

    def close(self) -> None:
        """Tidies up; see :meth:`tidy`."""
        self.tidy()

    def __enter__(self) -> EpisodicMemory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()


class _Places:
    """Where moments lie in their episodes, which may have been added in parts.

    Args:
        episodes: ``(rows,)`` of each moment.
        steps: ``(rows,)`` in it.
        acted: ``(rows,)`` whether it is known what was done then.

    Attributes:
        left: ``(rows,)`` world steps that are known to follow on each.
    """

    def __init__(self, episodes: np.ndarray, steps: np.ndarray, acted: np.ndarray) -> None:
        self._order = np.lexsort((steps, episodes))
        count = np.arange(len(self._order))
        self._place = np.empty_like(self._order)
        self._place[self._order] = count
        sorted_episodes = episodes[self._order]
        goes_on = np.append(sorted_episodes[1:] == sorted_episodes[:-1], False)[: len(count)]
        goes_on &= acted[self._order]
        # The next place from which nothing goes on.
        ends = np.where(goes_on, len(count), count)
        ends = np.minimum.accumulate(ends[::-1])[::-1]
        self.left = (ends - count)[self._place]

    def following(self, row: int, count: int) -> np.ndarray:
        """The rows of so many consecutive moments of an episode, this one first."""
        begin = self._place[row]
        return self._order[begin : begin + count]


def open_existing(path: Path | str) -> EpisodicMemory:
    """A memory that is there, of whichever model: to look at what was seen.

    Raises:
        ForethoughtError: there is none, or it cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ForethoughtError(f"{path}: there is no memory here; give the folder of one.")
    try:
        told = (lance.dataset(str(path)).schema.metadata or {}).get(b"forethought.memory")
    except (ValueError, OSError) as error:
        raise ForethoughtError(
            f"{path}: no memory that can be read ({error}); give another folder."
        ) from error
    if told is None:
        raise ForethoughtError(f"{path}: a table, and no memory; give another folder.")
    made = json.loads(told)
    return EpisodicMemory(path, shape=tuple(made["shape"]), action_width=made["action_width"])


@dataclass(frozen=True, kw_only=True)
class RecalledActions:
    """What was done after the nearest remembered moments; a :class:`forethought.types.Proposer`.

    Like :class:`forethought.memory.ActionChunks` for a memory that grows: every search asks it
    anew. The first proposal of each world is what followed on the very nearest moment.

    Attributes:
        memory: what was lived through.
        block: world steps in a model step.
        choice: how many times more moments there are to draw from than sequences are asked for.
        label: that moments are called by; None for all.
        reads: where reads are noted; None for nowhere.
    """

    memory: EpisodicMemory
    block: int
    choice: int = 4
    label: str | None = None
    reads: ReadLog | None = None

    def __call__(
        self,
        latents: Float[Tensor, "b k d"],
        *,
        number: int,
        horizon: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "b n h a"]:
        """See the class; a stretch that ends before the horizon goes on with its last action.

        Raises:
            ForethoughtError: no moment with actions for a model step is near.
        """
        near = [self._near(one, number * self.choice) for one in latents]
        if self.reads is not None:
            self.reads.note("episodic memory", [_noted(moments[0]) for moments in near])
        drawn = torch.randperm(
            number * self.choice, generator=generator, device=generator.device
        ).tolist()
        steps = horizon * self.block
        sequences = []
        for moments in near:
            others = [i for i in drawn if 0 < i < len(moments)]
            chosen = [moments[i] for i in ([0, *others] * number)[:number]]
            sequences.append(torch.stack([self._followed(one, steps) for one in chosen]))
        return torch.stack(sequences).unflatten(2, (horizon, self.block)).flatten(3).to(latents)

    def _near(self, latents: Float[Tensor, "k d"], number: int) -> list[Moment]:
        """The nearest on which a model step followed."""
        asked, found, kept = 0, 0, list[Moment]()
        # Moments on which too little followed are passed over, however many there are.
        while len(kept) < number and found == asked:
            asked = max(number, 2 * asked)
            near = self.memory.nearest(latents, asked, label=self.label)
            found = len(near)
            kept = [one for one in near if self.memory.goes_on(one, self.block)]
        if not kept:
            raise ForethoughtError(
                f"{self.memory.path}: none of its {len(self.memory)} moments "
                f"(label: {self.label}) has the {self.block} actions after it that a model step "
                "needs; add episodes with actions first."
            )
        return kept[:number]

    def _followed(self, moment: Moment, steps: int) -> Float[Tensor, "s c"]:
        actions = self.memory.following(moment.row, steps)
        return torch.cat([actions, actions[-1:].expand(steps - len(actions), -1)])


def _noted(moment: Moment) -> dict[str, Any]:
    return {"episode": moment.episode, "step": moment.step, "distance": moment.distance}


def _vectors(values: Tensor) -> pa.FixedSizeListArray:
    flat = values.flatten(1).float().cpu().numpy()
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])


def _packed(seen: Mapping[str, np.ndarray], index: int) -> bytes:
    """What was seen at one moment; nothing where nothing was."""
    if not seen:
        return b""
    return save({key: np.ascontiguousarray(value[index]) for key, value in seen.items()})


def _condition(
    label: str | None,
    after: When | None,
    before: When | None,
    episode: int | None,
) -> str | None:
    """As Lance takes it."""
    parts = []
    if label is not None:
        quoted = label.replace("'", "''")
        parts.append(f"array_has(labels, '{quoted}')")
    if after is not None:
        parts.append(f"at >= {_seconds(after)!r}")
    if before is not None:
        parts.append(f"at < {_seconds(before)!r}")
    if episode is not None:
        parts.append(f"episode = {int(episode)}")
    return " AND ".join(parts) or None


def _seconds(when: When) -> float:
    return when.timestamp() if isinstance(when, datetime) else float(when)
