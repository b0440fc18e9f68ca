"""What lies between a world and who acts in it: noise, late and lost observations, late actions.

What happens anew at each moment is in observations only. Goals stay what a person has shown.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from forethought.types import ForethoughtError, Observation, World
from forethought.worlds.wrapped import Wrapped

FULL_SCALE = 255.0
"""Of a picture's values."""


class Sensed(Wrapped):
    """A world whose observations pass through sensors, once at each world step.

    What is seen between two steps is the same however often it is looked at. Randomness is each
    copy's own, so that a task is sensed alike alone and beside others.

    Args:
        world: what is sensed.
        seed: of the sensors; each copy adds the seed of its task.
    """

    def __init__(self, world: World, *, seed: int = 0) -> None:
        super().__init__(world)
        self._seed = seed
        self._sense_anew(range(world.num_worlds), world.observe())

    @abstractmethod
    def begin(self) -> None:
        """Forgets what was sensed in earlier episodes."""

    @abstractmethod
    def sense(self, seen: Observation) -> Observation:
        """What the sensors make of what there is to be seen at this step."""

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._sense_anew(seeds, super().reset(seeds))

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        self._now = self.sense(self.world.step(actions))
        return self._copy()

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._copy()

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """See :class:`forethought.types.World`; sensing begins where exploring does."""
        act = self.world.explore(seed)
        self._sense_anew(self._seeds, self.world.observe())
        return act

    def _sense_anew(self, seeds: Sequence[int], seen: Observation) -> Observation:
        self._seeds = tuple(int(seed) for seed in seeds)
        self.generators = [np.random.default_rng((self._seed, own)) for own in self._seeds]
        self.begin()
        self._now = self.sense(seen)
        return self._copy()

    def _copy(self) -> Observation:
        return {key: value.copy() for key, value in self._now.items()}


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """What sensors add; the defaults add nothing.

    Attributes:
        share: standard deviation of Gaussian noise, as a share of each sensor's scale: 255 for
            pictures.
        specks: share of the pixels that are black or white, half of them each.
        scales: scale of each entry of a sensor that is a vector, by its key; others are left alone.
        seed: of the noise.

    Raises:
        ForethoughtError: less noise than none, or a share of specks above one.
    """

    share: float = 0.0
    specks: float = 0.0
    scales: Mapping[str, Sequence[float]] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.share < 0 or not 0 <= self.specks <= 1:
            raise ForethoughtError(
                f"share={self.share} and specks={self.specks}; give a share of the scale, 0 or "
                "more, and a share of the pixels from 0 to 1."
            )


class Noisy(Sensed):
    """A world seen by noisy sensors; every picture and reading has noise of its own.

    Args:
        world: what is sensed.
        config: the noise.
    """

    def __init__(self, world: World, config: NoiseConfig) -> None:
        self.config = config
        super().__init__(world, seed=config.seed)

    def begin(self) -> None:
        """See :class:`Sensed`."""

    def sense(self, seen: Observation) -> Observation:
        """See :class:`Sensed`."""
        return {key: self._noisy(key, np.asarray(value)) for key, value in seen.items()}

    def _noisy(self, key: str, values: np.ndarray) -> np.ndarray:
        if key in self.signature.cameras:
            return self._speckled(self._grainy(values))
        if key in self.config.scales and self.config.share:
            scale = self.config.share * np.asarray(self.config.scales[key], np.float32)
            return (values + scale * self._normal(values)).astype(values.dtype)
        return values

    def _grainy(self, images: np.ndarray) -> np.ndarray:
        if not self.config.share:
            return images
        noise = self.config.share * FULL_SCALE * self._normal(images)
        return np.clip(images + noise + 0.5, 0, 255).astype(np.uint8)

    def _speckled(self, images: np.ndarray) -> np.ndarray:
        if not self.config.specks:
            return images
        shape = images.shape[1:-1]
        draws = np.stack([g.random(shape, np.float32) for g in self.generators])[..., None]
        half = self.config.specks / 2
        return np.where(draws < half, 0, np.where(draws >= 1 - half, 255, images)).astype(np.uint8)

    def _normal(self, values: np.ndarray) -> np.ndarray:
        shape = values.shape[1:]
        return np.stack([g.standard_normal(shape, np.float32) for g in self.generators])


class LateToSee(Sensed):
    """A world seen late: observations are of so many world steps ago, at first of the beginning.

    Args:
        world: what is sensed.
        steps: world steps.

    Raises:
        ForethoughtError: less than no steps.
    """

    def __init__(self, world: World, steps: int) -> None:
        self.steps = _no_fewer_than_none(steps)
        super().__init__(world)

    def begin(self) -> None:
        """See :class:`Sensed`."""
        self._under_way: deque[Observation] = deque(maxlen=self.steps + 1)

    def sense(self, seen: Observation) -> Observation:
        """See :class:`Sensed`."""
        self._under_way.append({key: np.array(value) for key, value in seen.items()})
        return self._under_way[0]


class Dropped(Sensed):
    """A world of which observations are lost: the last one that came is shown again.

    All sensors of a copy are lost together. The first observation of an episode always comes.

    Args:
        world: what is sensed.
        chance: that an observation is lost.
        seed: of the losses.

    Raises:
        ForethoughtError: a chance outside [0, 1].
    """

    def __init__(self, world: World, chance: float, *, seed: int = 0) -> None:
        if not 0 <= chance <= 1:
            raise ForethoughtError(f"chance={chance}; give one from 0 to 1.")
        self.chance = chance
        super().__init__(world, seed=seed)

    def begin(self) -> None:
        """See :class:`Sensed`."""
        self._last: Observation | None = None

    def sense(self, seen: Observation) -> Observation:
        """See :class:`Sensed`."""
        if self._last is None:
            self._last = {key: np.array(value) for key, value in seen.items()}
            return self._last
        lost = np.array([generator.random() < self.chance for generator in self.generators])
        self._last = {key: _kept(lost, self._last[key], value) for key, value in seen.items()}
        return self._last


class LateToAct(Wrapped):
    """A world in which actions do their work so many world steps after they were chosen.

    Until the first of them arrives nothing is pushed. The oracle does not know of it.

    Args:
        world: with continuous actions.
        steps: world steps.

    Raises:
        ForethoughtError: discrete actions, none of which is known to do nothing, or less than no
            steps.
    """

    def __init__(self, world: World, steps: int) -> None:
        super().__init__(world)
        self.steps = _no_fewer_than_none(steps)
        if world.signature.action.discrete:
            raise ForethoughtError(
                f"world {world.name!r} has discrete actions, none of which is known to do nothing "
                "until the first arrives; take a world with continuous ones."
            )
        self._under_way = self._nothing()

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        seen = super().reset(seeds)
        self._under_way = self._nothing()
        return seen

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        self._under_way.append(np.array(actions))
        return self.world.step(self._under_way.popleft())

    def _nothing(self) -> deque[np.ndarray]:
        spec = self.signature.action
        still = np.clip(np.zeros(spec.dim), spec.low, spec.high).astype(np.float32)
        return deque(np.tile(still, (self.num_worlds, 1)) for _ in range(self.steps))


def _no_fewer_than_none(steps: int) -> int:
    if steps < 0:
        raise ForethoughtError(f"steps={steps}; give the world steps that pass, 0 or more.")
    return steps


def _kept(lost: Bool[np.ndarray, " b"], last: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The last of what was lost, and what came of the rest."""
    return np.where(lost.reshape(-1, *(1,) * (seen.ndim - 1)), last, seen)
