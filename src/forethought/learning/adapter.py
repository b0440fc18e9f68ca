"""What takes in transitions as they come, notices that the world has changed, and lets versions of
what has changed compete."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.learning.adapting import (
    AdaptingConfig,
    Anchors,
    Learner,
    Transitions,
    Version,
    errors_of,
    predictor_of,
    put,
    version_of,
)
from forethought.learning.looking import Looking
from forethought.memory import ObservationWindow
from forethought.model import Model
from forethought.types import Observation

CAREFUL = 1.5
"""Times as long as usual that the next piece of work is taken to last."""
LOOKS = 32
"""Transitions that each place of the camera is tried on."""
SIGHTS = 450
"""World steps that they are spread over: the more places the agent has been at, the better."""


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What adapting came to in one world step.

    Attributes:
        surprise: of the newest transition, in deviations beyond what is usual; NaN before any.
        alarm: sum of what went beyond the slack; learning begins where it crosses the limit.
        learning: whether a version is being learned.
        updates: gradient steps taken.
        took_over: number of the version that took over, 0 for the original; None where none did.
        seconds: that all of it took.
    """

    surprise: float
    alarm: float
    learning: bool
    updates: int
    took_over: int | None
    seconds: float


class Strand:
    """Transitions of the episode under way as one place of the camera shows them.

    Args:
        steps: model steps of history and present, as the predictor looks back.
        block: world steps in a model step.
        recent: world steps of transitions that are kept.
    """

    def __init__(self, steps: int, block: int, recent: int) -> None:
        self.steps, self.block = steps, block
        self._latents: deque[Tensor] = deque(maxlen=steps * block + 1)
        self.kept: deque[Transitions] = deque(maxlen=recent)
        self._joined: tuple[int, int, Transitions] | None = None
        self._count = 0

    def begin(self) -> None:
        """A new episode."""
        self._latents.clear()

    def see(
        self, latents: Float[Tensor, "b k d"], done: Sequence[Float[Tensor, "b c"]], model: Model
    ) -> Transitions | None:
        """The transition that ends now, where the episode is long enough.

        Args:
            latents: what is perceived.
            done: actions of the latest world steps of the episode, as vectors in world units.
            model: which puts them in standard units.
        """
        self._latents.append(latents)
        if len(self._latents) < self.steps * self.block + 1:
            return None
        states = torch.stack(list(self._latents)[:: self.block], dim=1)
        taken = torch.stack(list(done)[-self.steps * self.block :], dim=1)
        moves = taken.unflatten(1, (self.steps, self.block)).flatten(2)
        one = Transitions(
            latents=states[:, :-1], actions=model.world_model.normalise(moves), after=states[:, -1]
        )
        self.kept.append(one)
        self._count += 1
        return one

    def forget(self, but: int) -> None:
        """Keeps only so many of the newest."""
        while len(self.kept) > but:
            self.kept.popleft()

    def newest(self, number: int) -> Transitions | None:
        """Those of so many newest world steps; None before there are as many."""
        if len(self.kept) < number:
            return None
        return Transitions.joined(list(self.kept)[-number:])

    def older(self, number: int) -> Transitions | None:
        """Those before so many newest world steps that share none with them; None without any."""
        last = len(self.kept) - number - self.block
        if last <= 0:
            return None
        if self._joined is None or self._count - self._joined[0] >= self.block:
            self._joined = self._count, last, Transitions.joined(list(self.kept)[:last])
        return self._joined[2]


class Adapter:
    """Adapts a model to the world that it acts in.

    Args:
        model: as :func:`adaptable` makes them; its version is exchanged in place.
        anchors: recorded transitions.
        config: how.
        now: what time it is, in seconds; the bound is kept by this clock.

    Attributes:
        versions: those that may act: the original first, at most two others behind it.
        acting: the number of the one that does.
    """

    def __init__(
        self,
        model: Model,
        anchors: Anchors,
        config: AdaptingConfig | None = None,
        *,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model, self.anchors, self.config = model, anchors, config or AdaptingConfig()
        self._predictor, self._now = predictor_of(model), now
        anchors.tell(self._predictor)
        self.block = model.config.world_model.action_block
        self.versions, self.acting = [version_of(model)], 0
        self._learner = Learner(self._predictor, anchors, self.config)
        self._lasts: dict[str, float] = {}
        self._strands: dict[tuple[int, int], Strand] = {}
        self._alarm, self._since, self._until, self._step = 0.0, 0, 0, 0
        self._told = False
        self._looking: Looking | None = None
        self._frames: deque[tuple[int, Mapping[str, Tensor]]] = deque(maxlen=SIGHTS)
        self._acts: deque[Tensor] = deque(maxlen=SIGHTS)
        self._episode = 0
        self.reset()
        self._rehearse()

    @property
    def version(self) -> Version:
        """The one that acts."""
        return self.versions[self.acting]

    @property
    def learning(self) -> bool:
        """Whether the world is taken to have changed."""
        return self._step < self._until

    def reset(self) -> None:
        """A new episode; what was learned stays."""
        perception = self.model.config.world_model.perception
        self._window = ObservationWindow(
            frame_stack=perception.frame_stack, frame_gap=perception.frame_gap
        )
        self._episode += 1
        span = self._predictor.window * self.block
        self._done: deque[Tensor] = deque(maxlen=span)
        for strand in self._strands.values():
            strand.begin()

    def _rehearse(self) -> None:
        """Learns once in vain, since first calls take many times as long as later ones."""
        for _ in range(2):
            self._timed("update", lambda: self._learner.update(self.anchors.transitions))
        self._learner.begin(self.versions[0].weights)

    # ------------------------------------------------------------------------ what comes in

    def do(self, actions: Float[Tensor, "b c"]) -> None:
        """Takes in what is done, as vectors in world units."""
        self._done.append(actions)
        self._acts.append(actions)

    def see(self, observation: Observation) -> Adaptation:
        """Takes in what is observed, and adapts for as long as it may.

        Args:
            observation: per perceived key ``(b, ...)``.
        """
        began = self._now()
        self._step += 1
        surprise = self._taken_in(observation)
        self._heed(surprise)
        took_over, updates = None, 0
        if self.learning or self.acting:
            took_over = self._compete() if self._step % self.block == 0 else None
        if self.learning and took_over is None:
            updates, took_over = self._work(began)
        return Adaptation(
            surprise=surprise,
            alarm=self._alarm,
            learning=self.learning,
            updates=updates,
            took_over=took_over,
            seconds=self._now() - began,
        )

    @torch.no_grad()
    def _taken_in(self, observation: Observation) -> float:
        """Encodes it as each version sees it; how surprising it was to the one that acts."""
        self._window = self._window.see(observation)
        frames = {k: v.to(self.model.device) for k, v in self._window.stacked().items()}
        self._frames.append((self._episode, frames))
        newest: Transitions | None = None
        for shift in {version.shift for version in self.versions}:
            if shift not in self._strands:
                self._strands[shift] = Strand(
                    self._predictor.window, self.block, self.config.recent
                )
            latents = self._encoded(frames, shift)
            came = self._strands[shift].see(latents, self._done, self.model)
            newest = came if shift == self.version.shift else newest
        if newest is None:
            return float("nan")
        error = errors_of(self._predictor, None, newest) + self.anchors.unlike(newest.after)
        return self.anchors.deviation(float(error.mean()))

    def _encoded(
        self, frames: Mapping[str, Tensor], shift: tuple[int, int]
    ) -> Float[Tensor, "b k d"]:
        """Observations as a version sees them."""
        perception = self.model.world_model.perception
        acting, perception.shift = perception.shift, shift
        try:
            return self.model.world_model.encode(frames)
        finally:
            perception.shift = acting

    def _heed(self, surprise: float) -> None:
        """Sums up what goes beyond the slack, of transitions that share no world step."""
        if self._step % self.block or not np.isfinite(surprise):
            return
        self._alarm = max(0.0, self._alarm + min(surprise, 8.0) - self.config.slack)
        if not self._alarm:
            self._since = self._step
        if self._alarm >= self.config.alarm:
            self._alarm = 0.0
            if not self.learning:
                self._begin_learning()

    def _begin_learning(self) -> None:
        """What came before the change is forgotten; where pictures look strange, the camera may
        have moved."""
        self._until = self._step + self.config.patience
        # Once for each version that acts: a later alarm may come after the agent was at rest.
        if not self._told:
            self._told = True
            for strand in self._strands.values():
                strand.forget(self._step - self._since + self.block)
        self._learner.begin(self.version.weights)
        newest = self._strands[self.version.shift].newest(1)
        assert newest is not None
        strange = float(self.anchors.unlike(newest.after).mean()) > self.anchors.likeness
        if strange and self.config.camera_range and self.model.signature.cameras:
            self._looking = Looking(self.config.camera_range, self.version.shift)

    # ------------------------------------------------------------------------ what is done of it

    def _work(self, began: float) -> tuple[int, int | None]:
        """Looks for the camera's place or takes gradient steps, while there is time."""
        if self._looking is not None:
            return 0, self._look(began)
        known = self._strands[self.version.shift].older(self.config.held_out)
        updates = 0
        while known is not None and updates < self.config.updates and self._time(began, "update"):
            self._timed("update", lambda: self._learner.update(known))
            updates += 1
        return updates, None

    @torch.no_grad()
    def _look(self, began: float) -> int | None:
        """Tries places of the camera, while there is time."""
        assert self._looking is not None
        sights = self._sights() if len(self._frames) == SIGHTS else None
        if sights is None:
            return None
        tried = False
        while not tried or self._time(began, "look"):
            tried, shift = True, self._looking.next()
            if shift is None:
                return self._moved_to(self._looking.best())
            far = self._timed("look", partial(self._strange, *sights, shift))
            self._looking.found(shift, far)
        return None

    def _sights(self) -> tuple[dict[str, Tensor], Float[Tensor, "n a"]] | None:
        """Observations now and a model step later, one behind the other, and what was done."""
        frames, acts = list(self._frames), list(self._acts)
        # Since the last observation nothing was done yet.
        acts = acts[len(acts) + 1 - len(frames) :]
        first = max(0, self._since - self._step + len(frames))
        begins = [
            i
            for i in range(first, len(frames) - self.block)
            if frames[i][0] == frames[i + self.block][0]
        ]
        if len(begins) < SIGHTS // 2:
            return None
        spread = np.linspace(0, len(begins) - 1, LOOKS).round().astype(int)
        chosen = [begins[i] for i in spread]
        moments = [*chosen, *(i + self.block for i in chosen)]
        seen = {key: torch.cat([frames[i][1][key] for i in moments]) for key in frames[0][1]}
        done = [torch.cat(acts[i : i + self.block], dim=-1) for i in chosen]
        return seen, self.model.world_model.normalise(torch.cat(done))

    def _strange(
        self,
        frames: Mapping[str, Tensor],
        actions: Float[Tensor, "n a"],
        shift: tuple[int, int],
    ) -> float:
        """How strange the world is, seen from a place of the camera."""
        latents = self._encoded(frames, shift)
        half = len(latents) // 2
        seen = Transitions(
            latents=latents[:half, None], actions=actions[:, None], after=latents[half:]
        )
        return self.anchors.strangeness(self._predictor, seen)

    def _moved_to(self, found: tuple[tuple[int, int], float]) -> int | None:
        """The place of the camera from which the world is least strange, where it then is less so
        than now."""
        assert self._looking is not None
        (shift, far), here = found, self._looking.distances.get(self.version.shift, float("inf"))
        self._looking = None
        if shift == self.version.shift or far > self.config.margin * here:
            return None
        return self._take_over(Version(shift=shift, weights=self.versions[0].weights))

    def _time(self, began: float, work: str) -> bool:
        """Whether there is time for another piece of work."""
        lasts = CAREFUL * self._lasts.get(work, 0.0)
        if self._now() - began + lasts <= self.config.seconds_per_step:
            return True
        # What was slow once may be fast again: it is not ruled out for good.
        self._lasts[work] = 0.9 * self._lasts.get(work, 0.0)
        return False

    def _timed(self, work: str, do: Callable[[], float | None]) -> float:
        began = self._now()
        result = do()
        taken = self._now() - began
        # A slow one is remembered, and forgotten little by little.
        self._lasts[work] = max(taken, 0.8 * self._lasts.get(work, 0.0) + 0.2 * taken)
        return 0.0 if result is None else result

    # ------------------------------------------------------------------------ who acts

    @torch.no_grad()
    def _compete(self) -> int | None:
        """The number of the version that takes over; None where the acting one goes on."""
        here = self._error(self.version)
        if here is None:
            return None
        rivals = [
            (error, number)
            for number, version in enumerate(self.versions)
            if number != self.acting and (error := self._error(version)) is not None
        ]
        if rivals and min(rivals)[0] < self.config.margin * here:
            number = min(rivals)[1]
            self._settle(number)
            return number
        learned = self._learned()
        # From a version that was learned before, it goes on in small steps.
        margin = self.config.refined if self.acting else self.config.margin
        if learned is None or learned >= margin * here:
            return None
        self._until = self._step + self.config.patience
        return self._take_over(Version(shift=self.version.shift, weights=self._learner.weights()))

    def _learned(self) -> float | None:
        """The learner's error; None where it has learned nothing yet."""
        strand = self._strands[self.version.shift]
        newest = strand.newest(self.config.held_out)
        untaught = strand.older(self.config.held_out) is None
        if newest is None or untaught or not self.learning or self._looking is not None:
            return None
        return self._judged(self._learner.errors(newest), newest)

    def _error(self, version: Version) -> float | None:
        """On the newest transitions, where they were seen as this version sees them."""
        strand = self._strands.get(version.shift)
        newest = strand and strand.newest(self.config.held_out)
        if not newest:
            return None
        return self._judged(errors_of(self._predictor, version.weights, newest), newest)

    def _judged(self, errors: Float[Tensor, " n"], newest: Transitions) -> float:
        """What versions are compared by. Where they see differently, the one whose view is foreseen
        best may see nothing at all; so it counts whether pictures look like recorded ones."""
        views = {version.shift for version in self.versions}
        strange = float(self.anchors.unlike(newest.after).mean()) if len(views) > 1 else 0.0
        return float(errors.mean()) + strange + self.anchors.floor

    def _settle(self, number: int) -> None:
        """A known version acts again, and there is nothing to learn until the next alarm."""
        self.acting, self._until, self._alarm, self._looking = number, self._step, 0.0, None
        self._told = False
        for strand in self._strands.values():
            strand.forget(self.config.held_out)
        put(self.model, self.version)

    def _take_over(self, version: Version) -> int:
        """A new version acts; the original and the last one stay at hand."""
        last = self.versions[self.acting]
        if self.acting and version.shift == last.shift:
            self.versions[self.acting] = version
        else:
            self.versions = [self.versions[0], *([last] if self.acting else []), version]
            self.acting = len(self.versions) - 1
        put(self.model, version)
        return self.acting
