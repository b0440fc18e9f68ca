"""Driving: Gymnasium's CarRacing, its tracks and its car on Box2D, from small pictures.

The picture is drawn from the same polygons as Gymnasium's, many times faster, and of its dashboard
it has the speed alone. Besides, two sensors of the car's own tell its speed and how many of its
wheels are on grass. A task is a stretch of a track that must be driven without leaving the road.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8

from forethought.types import ForethoughtError, Observation
from forethought.worlds.adapter import GoalTask, GymnasiumConfig, GymnasiumWorld
from forethought.worlds.road import HALF_WIDTH, SIZE, Place, Road, forward, wrapped

DISTANCE = 150.0
"""Metres that a task asks to drive."""
CRUISING = 20.0
"""Metres per second at which the oracle drives where the road is straight."""
STATE_NAMES = ("speed", "grass")
"""Metres per second forwards, and the share of the wheels that are on grass."""
SHARP = 1.3
"""Radians within twenty metres; a task with such a bend is told apart."""

PHYSICS_HZ = 50
REPEAT = 4
"""Steps of the physics in a world step."""
DIAL_ROWS, DIAL_SPEED = 3, 40.0
"""Rows of the picture that show the speed, and metres per second that fill them."""
GAS, BRAKE = 0.1, 0.05
"""What a pedal of 1 and of -1 are of Gymnasium's gas and brake: about as strong as each other."""

_STARTS = (8.0, 20.0)
_FASTEST_START = 28.0


class Driving(gymnasium.Env[np.ndarray, np.ndarray]):
    """One car on a road; actions are steering, -1 full left to 1 full right, and one pedal, -1 full
    brake to 1 full gas. What it observes is named in :data:`STATE_NAMES`."""

    metadata: ClassVar[dict[str, Any]] = {"render_fps": PHYSICS_HZ}

    def __init__(self) -> None:
        self._racing = _car_racing()
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(STATE_NAMES),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.track: int | None = None
        self.driven, self.left_road = 0.0, False

    def put(
        self, track: int | None, along: float, offset: float, turned: float, speed: float
    ) -> None:
        """Puts the car onto a road, moving straight ahead.

        Args:
            track: seed of the road.
            along: metres along it.
            offset: half-widths to the left of its centre line.
            turned: radians to the left of its heading.
            speed: metres per second.
        """
        if track != self.track:
            self._racing.reset(seed=track)
            self.road, self.track = _road(self._racing), track
        middle, heading = self.road.at(along)
        left = np.array([-np.cos(heading), -np.sin(heading)])
        self._racing.place(middle + offset * HALF_WIDTH * left, heading + turned, speed)
        self.driven, self.left_road = 0.0, False
        self.place: Place = self.road.place(self.position)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Still, on the centre line of the road of that seed."""
        super().reset(seed=seed)
        self.put(int(self.np_random.integers(2**31)), 0.0, 0.0, 0.0, 0.0)
        return self.sensed(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A fiftieth of a second; no episode ends by itself."""
        steering, pedal = np.clip(action, -1, 1).tolist()
        self._racing.drive(steering, GAS * max(pedal, 0.0), BRAKE * max(-pedal, 0.0))
        before, self.place = self.place.along, self.road.place(self.position)
        moved, around = self.place.along - before, self.road.length
        self.driven += (moved + around / 2) % around - around / 2
        self.left_road |= abs(self.place.offset) > 1
        return self.sensed(), 0.0, False, False, {}

    @property
    def position(self) -> Float[np.ndarray, " 2"]:
        """Of the middle of the car, in metres."""
        return np.array(tuple(self._racing.car.hull.position))

    @property
    def heading(self) -> float:
        """Of the car, in radians."""
        return float(self._racing.car.hull.angle)

    @property
    def yaw_rate(self) -> float:
        """Radians per second to the left."""
        return float(self._racing.car.hull.angularVelocity)

    def sensed(self) -> np.ndarray:
        """What :data:`STATE_NAMES` names."""
        car = self._racing.car
        speed = float(forward(self.heading) @ np.array(tuple(car.hull.linearVelocity)))
        return np.array([speed, np.mean([not wheel.tiles for wheel in car.wheels])])

    def picture(self) -> UInt8[np.ndarray, "48 48 3"]:
        """What the camera sees, and below it a bar as long as the car is fast.

        It grows from the middle, so that it is the same with left and right exchanged.
        """
        seen = self.road.picture(self.position, self.heading)
        half = min(abs(float(self.sensed()[0])) / DIAL_SPEED, 1.0) * SIZE / 2
        from_middle = np.abs(np.arange(SIZE) + 0.5 - SIZE / 2) - 0.5
        seen[-DIAL_ROWS:] = (255 * np.clip(half - from_middle, 0, 1))[:, None].astype(np.uint8)
        return seen


class KeepDriving(GoalTask):
    """Drive :data:`DISTANCE` metres along a road without leaving it.

    The road is left when the middle of the car is beside it, whatever comes after. The goal's
    picture is of the end of the stretch, on the centre line at cruising speed.
    """

    # The oracle's: seconds that it looks ahead, metres at the least, steering for each radian to
    # where it looks, metres per second squared in bends, and pedal for each metre per second.
    LOOK, NEAREST, GAIN, SIDEWAYS, PEDAL = 0.45, 6.0, 2.0, 25.0, 0.3

    def begin(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Somewhere on a road, nearly straight on its centre line, driving."""
        car, track = _car(env), int(generator.integers(2**31))
        along, offset = generator.uniform(0, 1000), generator.uniform(-0.2, 0.2)
        car.put(track, along, offset, generator.uniform(-0.1, 0.1), generator.uniform(*_STARTS))
        return car.sensed()

    def begin_exploring(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Anywhere on the road of the task, aslant, at any speed."""
        car = _car(env)
        along, offset = generator.uniform(0, 1000), generator.uniform(-0.9, 0.9)
        turned, speed = generator.normal(0, 0.35), generator.uniform(0, _FASTEST_START)
        car.put(car.track, along, offset, turned, speed)
        return car.sensed()

    def to_goal(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """At the end of the stretch."""
        car = _car(env)
        car.put(car.track, car.place.along + DISTANCE, 0.0, 0.0, CRUISING)
        return car.sensed()

    def succeeded(self, env: gymnasium.Env, observation: np.ndarray, goal: np.ndarray) -> bool:
        """Has driven so far, and never left the road."""
        car = _car(env)
        return car.driven >= DISTANCE and not car.left_road

    def truth(self, env: gymnasium.Env, observation: np.ndarray) -> Mapping[str, float]:
        """Half-widths left of the centre line, radians left of the road's heading, metres per
        second, radians per second to the left, radians that the road turns left within 20 metres,
        metres driven, and whether the road was left."""
        car = _car(env)
        return {
            "offset": car.place.offset,
            "heading": wrapped(car.heading - car.place.heading),
            "speed": float(observation[0]),
            "grass": float(observation[1]),
            "yaw_rate": car.yaw_rate,
            "bend": car.road.bend(car.place.along, 20.0),
            "driven": car.driven,
            "left_road": float(car.left_road),
        }

    def oracle(self, env: gymnasium.Env, observation: np.ndarray) -> np.ndarray:
        """Steers to a point of the centre line ahead (pure pursuit), slower where it bends."""
        car, speed = _car(env), float(observation[0])
        look = max(self.NEAREST, self.LOOK * speed)
        gap = car.road.at(car.place.along + look)[0] - car.position
        aside = wrapped(float(np.arctan2(-gap[0], gap[1])) - car.heading)
        bends = [abs(car.road.bend(car.place.along, ahead)) / ahead for ahead in (10.0, 20.0, 30.0)]
        wanted = min(CRUISING, float(np.sqrt(self.SIDEWAYS / max(*bends, 1e-3))))
        action = np.array([-self.GAIN * aside, self.PEDAL * (wanted - speed)])
        return np.clip(action, -1, 1).astype(np.float32)

    def group(self, generator: np.random.Generator) -> str:
        """All alike; see :meth:`CarRacing.groups`."""
        return ""

    def picture(self, env: gymnasium.Env, size: int) -> UInt8[np.ndarray, "size size 3"]:
        """From above, ahead is up."""
        return _car(env).picture()


class CarRacing(GymnasiumWorld):
    """Copies of :class:`Driving` in lockstep, 12.5 world steps a second."""

    # Exploring: the most that an episode's steering strays, its persistence, and the pedal's.
    STEERING, STEERING_KEPT, PEDAL_KEPT = 0.6, 0.8, 0.85

    def path_length(self) -> np.ndarray:
        """Steps to the end of the stretch at cruising speed; NaN where the road was left."""
        step = CRUISING * REPEAT / PHYSICS_HZ
        left = [
            np.nan if car.left_road else max(0.0, DISTANCE - car.driven) / step
            for car in self._cars()
        ]
        return np.array(left)

    def groups(self) -> Mapping[str, np.ndarray]:
        """Stretches with a sharp bend, and those without."""
        sharp = np.array([_sharpest(car) > SHARP for car in self._cars()])
        return {"sharp": sharp, "gentle": ~sharp}

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Steering and pedal stray by themselves, from anywhere on a road: nobody drives.

        Both follow an Ornstein-Uhlenbeck process; how far steering strays is drawn for each episode
        anew, so that some go nearly straight and some turn round and round.
        """
        super().explore(seed)
        generators = [np.random.default_rng((seed, own, 3)) for own in self._seeds]
        kept = np.array([self.STEERING_KEPT, self.PEDAL_KEPT])
        spread = np.array([[g.uniform(0.05, self.STEERING), 0.5] for g in generators])
        noise = np.stack([g.normal(size=2) for g in generators])

        def act(_: Observation) -> np.ndarray:
            nonlocal noise
            kick = np.stack([g.normal(size=2) for g in generators])
            noise = kept * noise + np.sqrt(1 - kept**2) * kick
            return np.clip(spread * noise, -1, 1).astype(np.float32)

        return act

    def _cars(self) -> list[Driving]:
        return [_car(env) for env in self._envs[: self.num_worlds]]


def car_racing(num_worlds: int = 1) -> CarRacing:
    """Gymnasium's CarRacing from 48x48 pixels.

    Raises:
        ForethoughtError: Box2D is not installed.
    """
    return CarRacing(
        Driving,
        name="car_racing",
        num_worlds=num_worlds,
        task=KeepDriving(),
        config=GymnasiumConfig(
            image_size=SIZE,
            action_repeat=REPEAT,
            include_state=True,
            state_names=STATE_NAMES,
            action_names=("steering", "pedal"),
        ),
    )


# ------------------------------------------------------------------------------- helpers


def _car(env: gymnasium.Env) -> Driving:
    assert isinstance(env, Driving)
    return env


def _sharpest(car: Driving) -> float:
    """The most that the road turns within 20 metres of the stretch that is left, in radians."""
    begun = car.place.along
    return max(abs(car.road.bend(begun + ahead, 20.0)) for ahead in np.arange(0, DISTANCE, 5.0))


def _road(racing: Any) -> Road:
    """The road of Gymnasium's environment."""
    painted = [
        (np.array(polygon), tuple(int(part) for part in colour))
        for polygon, colour in racing.road_poly
    ]
    return Road(centre=np.array([corner[2:4] for corner in racing.track]), painted=painted)


def _car_racing() -> Any:
    """Gymnasium's environment, which draws nothing, ends nothing, and can be begun anywhere."""
    # Its pygame looks for a screen unless told. What SWIG made of Box2D warns when it is imported,
    # where an error would end the interpreter.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from gymnasium.envs.box2d.car_dynamics import Car
            from gymnasium.envs.box2d.car_racing import CarRacing as Published
    except gymnasium.error.DependencyNotInstalled as error:
        raise ForethoughtError(
            "car_racing: Box2D is not installed; run pip install 'forethought[worlds]'."
        ) from error

    class Undrawn(Published):
        def _render(self, mode: str) -> None:
            return None

        def place(self, point: Float[np.ndarray, " 2"], heading: float, speed: float) -> None:
            """A new car at a point, its wheels rolling."""
            assert self.car is not None
            self.car.destroy()
            x, y = (float(part) for part in point)
            self.car = Car(self.world, float(heading), x, y)
            velocity = tuple(float(part) for part in speed * forward(heading))
            for body in self.car.drawlist:
                body.linearVelocity = velocity
            for wheel in self.car.wheels:
                wheel.omega = speed / wheel.wheel_rad
            # A step tells the wheels what they stand on.
            self.world.Step(1e-6, 1, 1)

        def drive(self, steering: float, gas: float, brake: float) -> None:
            """A step of the physics alone."""
            assert self.car is not None
            self.car.steer(-steering)
            self.car.gas(gas)
            self.car.brake(brake)
            self.car.step(1 / PHYSICS_HZ)
            self.world.Step(1 / PHYSICS_HZ, 6 * 30, 2 * 30)

    return Undrawn()
