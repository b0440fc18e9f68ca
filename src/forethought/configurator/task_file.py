"""The format of task files: what each key takes, and what is built of it.

.. code-block:: yaml

    goal:                      # one of these
      image: goal.png          # beside the task file
      # words: go to the top right corner     # for models that `forethought words` has taught
      # remembered: {path: memories/rooms, label: dock, day: 2026-11-17}     # as it was then
      # state: [0.5, 0.1]
      # quantities: {position.x: 52, position.y: 20}
      # region: {position.x: [40, 60], position.y: [null, 30]}
    # goals:                   # or several, in this order; the last one is kept
    #   - image: door.png
    #     within: 2.0          # reached when it is as near as that, in the agent's own measure
    #     reached: {position.x: [30, 34]}    # or when quantities lie between
    #     seconds: 20          # that it may take
    #     otherwise: stop      # when they are over: or next
    #   - image: goal.png
    #     within: 1.0
    terms:                     # optional: what else counts, and how much
      effort: 0.1
    guardrails:                # optional: what must hold, whatever it costs
      - limit: {quantity: position.x, below: 52}
        risk: 0.01             # share of the steps at which it may be broken
        name: right edge       # optional
      - keep_out: {position.x: [10, 20], position.y: [null, 30]}
      - keep_away: {place: [position.x, position.y], point: [20, 30], distance: 6}
      - apart: {first: [position.x], second: [wall.x], distance: 3}
      - rate: {quantity: position.x, at_most: 12}
      - any: [{limit: {quantity: position.x, below: 30}}, {limit: {quantity: position.y, above: 9}}]
      - limit: {quantity: position.y, below: 40}
        only_when: {limit: {quantity: position.x, above: 30}}
    fallback: stop             # or hold, least_violation, {retreat: {steps: 10}}
    planner:                   # optional: the recipe's where not said
      name: icem               # or cem, mppi, gradient, projected_gradient, beam_search, ...
      horizon: 4
      samples: 64
      iterations: 2
      elites: 8
      halving: [{steps: 1, share: 0.5}]    # after a model step only the better half goes on
      screened: 0.25           # share of the candidates that the model's sketch lets through
    budget:                    # optional: what a decision may take
      deadline_ms: 20          # from the observation coming in to the action leaving
      replan_every: 5          # world steps of a plan that are executed
      reuse: {surprise: 0.05, longest: 10}   # the plan goes on while nothing surprises
      fast: exact              # or any: imagine with the units that are fastest here
    mode: gated                # optional: or deliberate (always search), or reflexes (never)
      # {gated: {share: 0.98, chunk: 2}}: see Gating
    memory:                    # optional: episodes that were lived through, beside the task file
      path: memories/rooms
      label: dock              # only moments that are called so
    adaptation:                # optional: it follows the world while it acts
      recorded: datasets/rooms # what is replayed against forgetting, beside the task file
      seconds_per_step: 0.05
      camera_range: 8
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from forethought.configurator.agent_parts import (
    AdaptationPart,
    BudgetPart,
    FallbackPart,
    MemoryPart,
    ModePart,
    PlannerPart,
)
from forethought.configurator.goals import Leg, Overdue, ShownGoal
from forethought.configurator.parts import (
    Choice,
    Ends,
    Name,
    Nothing,
    Number,
    Part,
    hint,
    wrong,
)
from forethought.cost.constraints import (
    AllOf,
    AnyOf,
    Constraint,
    apart,
    keep_away,
    keep_out,
    limit,
    rate_limit,
)
from forethought.cost.guardrail import Guardrail, guardrail
from forethought.cost.motion import effort, smoothness
from forethought.cost.region import RegionGoal, region_goal
from forethought.cost.terms import CostTerm
from forethought.memory.episodic import open_existing
from forethought.types import ForethoughtError, Observation

TERMS = {"effort": effort, "smoothness": smoothness}
"""Terms that a task file may name beside its goal."""


def _tuples(ends: Mapping[str, list[float | None]]) -> dict[str, tuple[float | None, float | None]]:
    return {name: (low, high) for name, (low, high) in ends.items()}


# ---------------------------------------------------------------------------- conditions


class LimitPart(Part):
    """A quantity stays below, above, or between."""

    quantity: Name
    below: Number | None = None
    above: Number | None = None

    @model_validator(mode="after")
    def _sound(self) -> LimitPart:
        self.build()
        return self

    def build(self) -> Constraint:
        """The condition."""
        return limit(self.quantity, below=self.below, above=self.above)


class RatePart(Part):
    """A quantity changes by no more than so much in a second."""

    quantity: Name
    at_most: Annotated[Number, Field(gt=0)]

    def build(self) -> Constraint:
        """The condition."""
        return rate_limit(self.quantity, at_most=self.at_most)


class KeepAwayPart(Part):
    """A place stays away from a point."""

    place: list[Name]
    point: list[Number]
    distance: Annotated[Number, Field(gt=0)]

    @model_validator(mode="after")
    def _sound(self) -> KeepAwayPart:
        self.build()
        return self

    def build(self) -> Constraint:
        """The condition."""
        return keep_away(tuple(self.place), tuple(self.point), distance=self.distance)


class ApartPart(Part):
    """Two things keep a distance."""

    first: list[Name]
    second: list[Name]
    distance: Annotated[Number, Field(gt=0)]

    @model_validator(mode="after")
    def _sound(self) -> ApartPart:
        self.build()
        return self

    def build(self) -> Constraint:
        """The condition."""
        return apart(tuple(self.first), tuple(self.second), distance=self.distance)


class ConditionPart(Choice):
    """A condition; joined ones are made of others."""

    limit: LimitPart | None = None
    keep_out: dict[Name, Ends] | None = None
    keep_away: KeepAwayPart | None = None
    apart: ApartPart | None = None
    rate: RatePart | None = None
    any_of: list[ConditionPart] | None = Field(default=None, alias="any", min_length=1)
    all_of: list[ConditionPart] | None = Field(default=None, alias="all", min_length=1)
    only_when: ConditionPart | None = None

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """See :class:`Choice`."""
        return ("limit", "keep_out", "keep_away", "apart", "rate", "any", "all")

    @field_validator("keep_out")
    @classmethod
    def _sound(cls, box: dict[str, Any] | None) -> dict[str, Any] | None:
        if box is not None:
            keep_out(_tuples(box))
        return box

    def build(self) -> Constraint:
        """The condition."""
        plain = (self.limit, self.keep_away, self.apart, self.rate)
        found = [part.build() for part in plain if part is not None]
        if self.keep_out is not None:
            found.append(keep_out(_tuples(self.keep_out)))
        if self.any_of is not None:
            found.append(AnyOf(parts=tuple(part.build() for part in self.any_of)))
        if self.all_of is not None:
            found.append(AllOf(parts=tuple(part.build() for part in self.all_of)))
        (condition,) = found
        return condition.only_when(self.only_when.build()) if self.only_when else condition


class GuardrailPart(ConditionPart):
    """A condition that must hold, and how often it may fail to."""

    risk: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    name: Name | None = None

    def build_guardrail(self) -> Guardrail:
        """The guardrail."""
        return guardrail(self.build(), risk=self.risk, name=self.name)


# ---------------------------------------------------------------------------- the whole


class RememberedPart(Part):
    """As it was once: the latest moment of an episodic memory that is called so, on a day."""

    path: Name
    label: Name | None = None
    day: date | None = None

    @field_validator("day", mode="before")
    @classmethod
    def _of_a_calendar(cls, day: Any) -> Any:
        try:
            return date.fromisoformat(day) if isinstance(day, str) else day
        except ValueError as error:
            raise wrong(f"found {day!r}, expected a day such as 2026-11-17.") from error

    def observation(self, folder: Path) -> Observation:
        """What was seen then, for a task file in this folder.

        Raises:
            ForethoughtError: there is no such memory, or no such moment in it.
        """
        memory = open_existing(folder / self.path)
        dawn = None if self.day is None else datetime.combine(self.day, time()).astimezone()
        moments = memory.moments(
            label=self.label, after=dawn, before=None if dawn is None else dawn + timedelta(days=1)
        )
        if not moments:
            called = f" called {self.label!r}" if self.label else ""
            then = f" on {self.day}" if self.day else ""
            known = sorted({label for one in memory.moments() for label in one.labels})
            raise ForethoughtError(
                f"found no moment{called}{then} among the {len(memory)} of {memory.path}, expected "
                f"one; moments there are called {', '.join(known) or 'nothing'}. Correct label or "
                "day."
            )
        return memory.observation(max(moments, key=lambda one: one.at))


class GoalPart(Choice):
    """What is to be reached."""

    image: Name | None = None
    words: Name | None = None
    remembered: RememberedPart | None = None
    state: list[Number] | None = Field(default=None, min_length=1)
    quantities: dict[Name, Number] | None = Field(default=None, min_length=1)
    region: dict[Name, Ends] | None = None

    @field_validator("region")
    @classmethod
    def _sound(cls, bounds: dict[str, Any] | None) -> dict[str, Any] | None:
        if bounds is not None:
            region_goal(_tuples(bounds))
        return bounds

    def build_region(self) -> RegionGoal | None:
        """The goal as a region of quantities; None where it is shown in another way."""
        if self.region is not None:
            return region_goal(_tuples(self.region))
        if self.quantities is not None:
            return region_goal({name: (value, value) for name, value in self.quantities.items()})
        return None


class LegPart(GoalPart):
    """A goal on the way, and when it is done with."""

    within: Annotated[Number, Field(ge=0)] | None = None
    reached: dict[Name, Ends] | None = Field(default=None, min_length=1)
    seconds: Annotated[Number, Field(gt=0)] | None = None
    otherwise: Name = Overdue.NEXT.value

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """See :class:`Choice`."""
        return GoalPart.keys()

    @field_validator("reached")
    @classmethod
    def _between(cls, bounds: dict[str, Any] | None) -> dict[str, Any] | None:
        if bounds is not None:
            region_goal(_tuples(bounds))
        return bounds

    @field_validator("otherwise")
    @classmethod
    def _known(cls, otherwise: str) -> str:
        known = [one.value for one in Overdue]
        if otherwise not in known:
            said = f"found {otherwise!r}, expected {' or '.join(known)}."
            raise wrong(said + hint(otherwise, known))
        return otherwise

    @model_validator(mode="after")
    def _can_be_reached(self) -> LegPart:
        if self.within is None and self.reached is None and self.build_region() is None:
            raise wrong("found no test of whether it is reached, expected within or reached.")
        return self

    def build_leg(self, goal: ShownGoal | RegionGoal) -> Leg:
        """The leg to a goal that is built."""
        return Leg(
            goal=goal,
            within=self.within,
            reached=None if self.reached is None else region_goal(_tuples(self.reached)),
            seconds=self.seconds,
            overdue=Overdue(self.otherwise),
        )


class TaskPart(Part):
    """A task file."""

    goal: GoalPart | None = None
    goals: list[LegPart] = Field(default_factory=list)
    terms: dict[Name, Annotated[Number, Field(ge=0)]] = Field(default_factory=dict)
    guardrails: list[GuardrailPart] = Field(default_factory=list)
    fallback: FallbackPart = FallbackPart(least_violation=Nothing())
    planner: PlannerPart = PlannerPart()
    budget: BudgetPart = BudgetPart()
    mode: ModePart = ModePart(deliberate=Nothing())
    memory: MemoryPart | None = None
    adaptation: AdaptationPart | None = None

    @model_validator(mode="after")
    def _go_together(self) -> TaskPart:
        if self.adaptation is not None and self.budget.fast is not None:
            raise wrong(
                "found fast units beside adaptation, whose weights would not follow the world; "
                "expected one of them. Leave budget.fast out.",
                "adaptation",
            )
        if self.adaptation is not None and self.mode.reflexes is not None:
            raise wrong(
                "found adaptation beside reflexes alone, which imagine nothing that could be "
                "adapted; expected one of them. Say mode: gated, or deliberate.",
                "adaptation",
            )
        return self

    @model_validator(mode="after")
    def _one_or_several(self) -> TaskPart:
        if (self.goal is None) == (not self.goals):
            found = "neither goal nor goals" if self.goal is None else "both goal and goals"
            raise wrong(f"found {found}, expected one of them.")
        return self

    @field_validator("terms")
    @classmethod
    def _known_terms(cls, terms: dict[str, float]) -> dict[str, float]:
        for name in terms:
            if name not in TERMS:
                said = f"found the unknown term {name!r}, expected {', '.join(TERMS)}."
                raise wrong(said + hint(name, TERMS), name)
        return terms

    @field_validator("guardrails")
    @classmethod
    def _names_of_their_own(cls, guardrails: list[GuardrailPart]) -> list[GuardrailPart]:
        names: list[str] = []
        for number, part in enumerate(guardrails):
            if (name := part.build_guardrail().name) in names:
                raise wrong(
                    f"found the name {name!r}, which guardrail {names.index(name) + 1} has too; "
                    "expected a name of its own. Say another with name: ...",
                    number,
                    "name",
                )
            names.append(name)
        return guardrails

    def build_terms(self) -> tuple[CostTerm, ...]:
        """The terms beside the goal, weighed."""
        return tuple(weight * TERMS[name]() for name, weight in self.terms.items())
