"""Adapting while acting: what changes when the world does, and what decides whether it does.

A version says what has changed since training: how the camera moved, and what stands in front of
and behind the predictor (:mod:`forethought.world_model.adapted`). The weights within stay as they
were trained, so that the original is never further than one exchange away. Versions compete on the
newest transitions before they are learned from; the best by a margin acts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.config import register
from forethought.data.store import EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.model import Model
from forethought.types import ForethoughtError
from forethought.world_model.adapted import AdaptedPredictor, AdaptedPredictorConfig
from forethought.world_model.world_model import WorldModelConfig

CHUNK = 256
SMALLEST = 1e-4
"""Errors are told apart down to this share of the squared change in a model step."""
HALVED = 0.1
"""Share of that by which pushes may be foreseen worse in two halves than as a whole."""
MOST_PARTS = 4
"""Parts of a push that goes further than any recorded one, at most."""


@register
@dataclass(frozen=True, kw_only=True)
class AdaptingConfig:
    """How an agent adapts while it acts.

    Attributes:
        seconds_per_step: what all of adapting may take of a world step.
        history: earlier model steps whose actions may still act; see
            :class:`AdaptedPredictorConfig`.
        rank: of the change of what is foreseen.
        camera_range: pixels by which the camera may have moved at most, either way; 0 where it
            cannot move.
        recent: world steps that are learned from at most.
        held_out: newest of them, which versions are judged on before any learns from them.
        batch: recent transitions in a gradient step, and as many recorded ones.
        updates: gradient steps in a world step at most.
        learning_rate: of the map of actions.
        slow: learning rate of the change behind the predictor, relative to that.
        replay: weight of recorded transitions, whose actions are what they were.
        stay: weight of the squared distance from no change at all.
        margin: a version has to come below this share of the acting one's error to take over.
        refined: the same for what was learned since from an acting version that was learned.
        slack: deviations of the logarithm of an error that are no sign of a change.
        alarm: sum of deviations beyond the slack at which learning begins (CUSUM; Page, 1954).
        patience: world steps after which learning ends where no version took over.
        seed: of the batches.

    Raises:
        ForethoughtError: a number that cannot be.
    """

    seconds_per_step: float = 0.05
    history: int = 2
    rank: int = 16
    camera_range: int = 8
    recent: int = 600
    held_out: int = 50
    batch: int = 64
    updates: int = 2
    learning_rate: float = 0.02
    slow: float = 0.15
    replay: float = 1.0
    stay: float = 1e-4
    margin: float = 0.8
    refined: float = 0.95
    slack: float = 0.5
    alarm: float = 8.0
    patience: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("seconds_per_step", "held_out", "batch", "learning_rate", "alarm"):
            if getattr(self, name) <= 0:
                raise ForethoughtError(f"adapting: {name}={getattr(self, name)}; give above 0.")
        for name in ("margin", "refined"):
            if not 0 < getattr(self, name) <= 1:
                raise ForethoughtError(
                    f"adapting: {name}={getattr(self, name)}; give a share in (0, 1]."
                )
        if self.recent < 2 * self.held_out:
            raise ForethoughtError(
                f"adapting: recent={self.recent} leaves too little beside held_out="
                f"{self.held_out}; give twice as much or more."
            )


# ------------------------------------------------------------------------------ what is learned


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """Model steps that were taken, with what the predictor looks back at.

    Attributes:
        latents: ``(n, w, k, d)`` known states, oldest first, the present last.
        actions: ``(n, w, a)`` standardised; the last is done in the present.
        after: ``(n, k, d)`` what came.
    """

    latents: Float[Tensor, "n w k d"]
    actions: Float[Tensor, "n w a"]
    after: Float[Tensor, "n k d"]

    def __len__(self) -> int:
        return len(self.after)

    def at(self, index: Tensor | slice) -> Transitions:
        """Some of them."""
        return Transitions(
            latents=self.latents[index], actions=self.actions[index], after=self.after[index]
        )

    @classmethod
    def joined(cls, parts: list[Transitions]) -> Transitions:
        """All of them, in order."""
        return cls(
            latents=torch.cat([one.latents for one in parts]),
            actions=torch.cat([one.actions for one in parts]),
            after=torch.cat([one.after for one in parts]),
        )


@dataclass(frozen=True, kw_only=True)
class Version:
    """What has changed since training.

    Attributes:
        shift: how pictures are moved before they are encoded, see ``PerceptionConfig.shift``.
        weights: of :meth:`AdaptedPredictor.changes`, by name.
    """

    shift: tuple[int, int]
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """Recorded transitions, encoded once: what is replayed, and what surprise is usual.

    Attributes:
        transitions: of episodes that no training saw.
        change: mean squared change in a model step: the scale of all errors.
        usual: mean and deviation of the logarithm of how surprising they are.
        likeness: 99 % of recorded latents lie this near to another episode's, squared.
        floor: squared error that 10 % of recorded transitions stay below: less is no difference.
        reach: ``(c,)`` standardised: how far the pushes of a world step go, from none.
        parts: in how many a longer one may be taken; 1 where halves do not come to the whole.
    """

    transitions: Transitions
    change: float
    usual: tuple[float, float]
    likeness: float
    floor: float
    reach: Float[Tensor, " c"]
    parts: int

    @classmethod
    @torch.no_grad()
    def of(
        cls, model: Model, arrays: EpisodeArrays, *, number: int = 2000, seed: int = 0
    ) -> Anchors:
        """Transitions of recorded episodes.

        Args:
            model: as :func:`adaptable` makes them.
            arrays: episodes that it was not trained on, see :func:`calibrating.episodes_for`.
            number: transitions at most.
            seed: of the draw.

        Raises:
            ForethoughtError: no episode is long enough, or there are fewer than two.
        """
        predictor = predictor_of(model)
        transitions, episodes = recorded(model, arrays, number=number, seed=seed)
        if len(episodes.unique()) < 2:
            raise ForethoughtError(
                "adapting needs transitions of two recorded episodes or more, to know what is "
                "usual; give more recordings that training has not seen."
            )
        change = float((transitions.after - transitions.latents[:, -1]).square().mean())
        errors = errors_of(predictor, None, transitions)
        far = nearest(transitions.after, transitions.after, own=episodes)
        surprises = (errors + far).clamp_min(SMALLEST * change)
        logs = surprises.log()
        return cls(
            transitions=transitions,
            change=change,
            usual=(float(logs.mean()), max(0.25, float(logs.std()))),
            likeness=float(torch.quantile(far, 0.99)),
            floor=max(float(torch.quantile(errors, 0.1)), SMALLEST * change),
            reach=_reach(predictor, transitions),
            parts=_parts(model, transitions, float(errors.mean()) + HALVED * change),
        )

    def tell(self, predictor: AdaptedPredictor) -> None:
        """Makes a predictor know how far recorded pushes go, and whether longer ones have parts."""
        predictor.reach.copy_(self.reach)
        predictor.parts.fill_(self.parts)

    def unlike(self, latents: Float[Tensor, "n k d"]) -> Float[Tensor, " n"]:
        """Mean squared difference from the nearest recorded latent."""
        return nearest(latents, self.transitions.after)

    def strangeness(self, predictor: AdaptedPredictor, seen: Transitions) -> float:
        """How little a view has to do with what was recorded: half of the pictures, and what is
        foreseen of those that come, relative to how much changes.

        A view in which nothing moves is foreseen best, and one of walls alone may look like another
        picture; neither is taken for right.
        """
        errors = errors_of(predictor, None, seen).mean()
        moved = (seen.after - seen.latents[:, -1]).square().mean()
        far = self.unlike(seen.after).median()
        return float(errors / (moved + SMALLEST * self.change) + far / self.change)

    def deviation(self, surprise: float) -> float:
        """By how many deviations a surprise is beyond what is usual."""
        mean, deviation = self.usual
        least = torch.tensor(max(surprise, SMALLEST * self.change))
        return (float(least.log()) - mean) / deviation


def _reach(predictor: AdaptedPredictor, transitions: Transitions) -> Float[Tensor, " c"]:
    """How far recorded pushes go in a world step."""
    far = (transitions.actions - predictor.still).abs().flatten(0, 1)
    return far.unflatten(1, (predictor.block, -1)).amax((0, 1)).clamp_min(1e-6)


@torch.no_grad()
def _parts(model: Model, transitions: Transitions, limit: float) -> int:
    """In how many parts a push may be taken: where the world goes on by itself, or remembers more
    than is seen in one state, two halves are not the whole."""
    predictor = predictor_of(model)
    if model.signature.action.discrete or predictor.inner.window > 1:
        return 1
    here, done = _copied(predictor, transitions.latents[:, -1:], transitions.actions[:, -1:])
    halves = torch.full((len(here),), 2, device=here.device)
    after = _mean(predictor, predictor.in_parts(here, done, halves))
    error = float((after - transitions.after).square().mean())
    return MOST_PARTS if error <= limit else 1


def recorded(
    model: Model, arrays: EpisodeArrays, *, number: int | None = None, seed: int = 0
) -> tuple[Transitions, Tensor]:
    """Transitions of episodes as the model perceives them now, and the episode of each.

    Args:
        model: as :func:`adaptable` makes them.
        arrays: episodes.
        number: drawn at random; None for all, in order.
        seed: of the draw.

    Raises:
        ForethoughtError: no episode is long enough.
    """
    perception, window = model.config.world_model.perception, predictor_of(model).window
    sampler = WindowSampler(
        arrays,
        WindowConfig(
            length=window + 1,
            action_block=model.config.world_model.action_block,
            frame_stack=perception.frame_stack,
            frame_gap=perception.frame_gap,
        ),
    )
    episodes, steps = sampler.starts()
    if number is not None:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(episodes), generator=generator)[:number]
        episodes, steps = episodes[chosen], steps[chosen]
    world_model, parts = model.world_model, []
    for begin in range(0, len(episodes), CHUNK):
        clip = sampler.at(episodes[begin : begin + CHUNK], steps[begin : begin + CHUNK])
        keys = world_model.perception.keys
        with torch.no_grad():
            seen = world_model.encode({key: clip.observation[key].to(model.device) for key in keys})
            moves = world_model.normalise(clip.actions.to(model.device))
        parts.append(Transitions(latents=seen[:, :-1], actions=moves, after=seen[:, -1]))
    return Transitions.joined(parts), episodes


@torch.no_grad()
def nearest(
    latents: Float[Tensor, "n k d"], among: Float[Tensor, "m k d"], *, own: Tensor | None = None
) -> Float[Tensor, " n"]:
    """Mean squared difference of each from the nearest of others.

    Args:
        latents: any.
        among: the others.
        own: ``(n,)`` the episode of each, where the others are the same: of another episode.
    """
    there, parts = among.flatten(1), []
    for begin in range(0, len(latents), CHUNK):
        here = latents[begin : begin + CHUNK].flatten(1)
        far = torch.cdist(here, there, compute_mode="donot_use_mm_for_euclid_dist").square()
        if own is not None:
            far = far.masked_fill(own[begin : begin + CHUNK, None] == own[None], float("inf"))
        parts.append(far.amin(1) / here.shape[1])
    return torch.cat(parts)


@torch.no_grad()
def errors_of(
    predictor: AdaptedPredictor, weights: Mapping[str, Tensor] | None, transitions: Transitions
) -> Float[Tensor, " n"]:
    """Mean squared error of what is foreseen for each transition.

    Args:
        predictor: whose inner weights foresee.
        weights: of a version; None for the predictor's own.
        transitions: what came.
    """
    if weights is None:
        foreseen = _foreseen(predictor, transitions.latents, transitions.actions)
    else:
        taken = _copied(predictor, transitions.latents, transitions.actions)
        foreseen = _mean(predictor, torch.func.functional_call(predictor, dict(weights), taken))
    return (foreseen - transitions.after).square().flatten(1).mean(1)


def _foreseen(
    predictor: AdaptedPredictor, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
) -> Float[Tensor, "n k d"]:
    """The mean of what the members of an ensemble foresee."""
    return _mean(predictor, predictor(*_copied(predictor, latents, actions)))


def _copied(predictor: AdaptedPredictor, *values: Tensor) -> tuple[Tensor, ...]:
    """The batch once for each member."""
    return tuple(one.repeat(predictor.num_members, *[1] * (one.ndim - 1)) for one in values)


def _mean(predictor: AdaptedPredictor, foreseen: Tensor) -> Tensor:
    return foreseen.unflatten(0, (predictor.num_members, -1)).mean(0)


# --------------------------------------------------------------------------------- the model


def adaptable(model: Model, *, history: int = 2, rank: int = 16) -> Model:
    """A copy of a model whose predictor can say what has changed; so far nothing has.

    Args:
        model: a trained model; it is left as it is.
        history: see :class:`AdaptedPredictorConfig`.
        rank: see :class:`AdaptedPredictorConfig`.

    Raises:
        ForethoughtError: the model has parts that foresee by themselves, is uncertain of the
            future, or is adapted already.
    """
    others = {
        "a hierarchy": model.hierarchy,
        "a sketch": model.sketch,
        "a latent variable": model.world_model.latent_variable,
    }
    for name, part in others.items():
        if part is not None:
            raise ForethoughtError(
                f"this model has {name}, which would not learn of what has changed; adapt a model "
                "trained without."
            )
    own = model.config.world_model.predictor
    block = model.config.world_model.action_block
    config = AdaptedPredictorConfig(inner=own, history=history, rank=rank, block=block)
    adapted = copy.deepcopy(model).eval()
    world_model = adapted.world_model
    width = world_model.num_tokens * world_model.width
    predictor = AdaptedPredictor(config, world_model.predictor, width, world_model.action_width)
    world_model.predictor = predictor.to(model.device).eval()
    predictor.still.copy_(world_model.normalise(torch.zeros_like(predictor.still)))
    _configured(adapted, replace(model.config.world_model, predictor=config))
    return adapted


def predictor_of(model: Model) -> AdaptedPredictor:
    """The predictor of a model that :func:`adaptable` made.

    Raises:
        ForethoughtError: another model.
    """
    if not isinstance(model.world_model.predictor, AdaptedPredictor):
        raise ForethoughtError(
            f"this model's predictor is {type(model.world_model.predictor).__name__}, in which "
            "nothing can change; give adaptable(model)."
        )
    return model.world_model.predictor


def version_of(model: Model) -> Version:
    """What a model of :func:`adaptable` says has changed, as a copy."""
    weights = {k: v.detach().clone() for k, v in predictor_of(model).changes().items()}
    return Version(shift=model.world_model.perception.shift, weights=weights)


@torch.no_grad()
def put(model: Model, version: Version) -> None:
    """Makes a model of :func:`adaptable` say what has changed."""
    for name, value in predictor_of(model).changes().items():
        value.copy_(version.weights[name])
    world = model.config.world_model
    if version.shift != world.perception.shift:
        perception = replace(world.perception, shift=version.shift)
        model.world_model.perception.shift = version.shift
        _configured(model, replace(world, perception=perception))


def _configured(model: Model, world: WorldModelConfig) -> None:
    """Its configuration, which is saved with it."""
    model.config = replace(model.config, world_model=world)
    model.world_model.config = world
    model.world_model.perception.config = world.perception


# -------------------------------------------------------------------------------- the learner


class Learner:
    """A version that learns by gradient steps; what acts is not touched.

    Args:
        predictor: of the model, whose inner weights it shares.
        anchors: what is replayed.
        config: how.
    """

    def __init__(
        self, predictor: AdaptedPredictor, anchors: Anchors, config: AdaptingConfig
    ) -> None:
        self._predictor = copy.deepcopy(predictor, {id(predictor.inner): predictor.inner})
        self.anchors, self.config = anchors, config
        self._generator = torch.Generator().manual_seed(config.seed)
        self._none = {k: v.detach().clone() for k, v in self._predictor.changes().items()}
        self.begin(self._none)

    @torch.no_grad()
    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Begins anew from a version's weights."""
        changes = self._predictor.changes()
        for name, value in changes.items():
            value.copy_(weights[name])
        behind = [v for name, v in changes.items() if name.startswith(("up", "down"))]
        front = [v for name, v in changes.items() if not name.startswith(("up", "down"))]
        rate = self.config.learning_rate
        self._optimiser = torch.optim.Adam(
            [{"params": front, "lr": rate}, {"params": behind, "lr": rate * self.config.slow}]
        )

    def weights(self) -> dict[str, Tensor]:
        """What it has come to, as a copy."""
        return {k: v.detach().clone() for k, v in self._predictor.changes().items()}

    def errors(self, transitions: Transitions) -> Float[Tensor, " n"]:
        """See :func:`errors_of`."""
        return errors_of(self._predictor, None, transitions)

    @torch.enable_grad()
    def update(self, transitions: Transitions) -> None:
        """One gradient step on some of the transitions, and on as many recorded ones."""
        few, again = self._drawn(transitions), self._drawn(self.anchors.transitions)
        predictor = self._predictor
        came = _foreseen(predictor, few.latents, few.actions) - few.after
        # What an action amounts to may be new; what that leads to is as it was recorded.
        known = predictor.foresee(*_copied(predictor, again.latents, again.actions))
        kept = _mean(predictor, known) - again.after
        error = came.square().mean() + self.config.replay * kept.square().mean()
        changes = self._predictor.changes().items()
        away = sum((value - self._none[name]).square().sum() for name, value in changes)
        self._optimiser.zero_grad()
        (error / self.anchors.change + self.config.stay * away).backward()
        self._optimiser.step()

    def _drawn(self, transitions: Transitions) -> Transitions:
        index = torch.randint(len(transitions), (self.config.batch,), generator=self._generator)
        return transitions.at(index)
