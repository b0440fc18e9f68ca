"""The format of task files: what each key takes, and what is built of it.

.. code-block:: yaml

    goal:                      # one of these
      image: goal.png          # beside the task file
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
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from forethought.actor import (
    CEM,
    ICEM,
    MPPI,
    BeamSearch,
    CategoricalCEM,
    Fallback,
    Gradient,
    Halving,
    Hold,
    LeastViolation,
    ParallelGradient,
    PredictiveSampling,
    ProjectedGradient,
    Retreat,
    Rung,
    Stop,
)
from forethought.agent import ReuseConfig
from forethought.configurator.goals import Leg, Overdue, ShownGoal
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
from forethought.types import Planner
from forethought.world_model.fast import FastConfig

TERMS = {"effort": effort, "smoothness": smoothness}
"""Terms that a task file may name beside its goal."""
PLANNERS: Mapping[str, Callable[[], Planner]] = {
    "cem": CEM,
    "icem": ICEM,
    "mppi": MPPI,
    "predictive_sampling": PredictiveSampling,
    "gradient": Gradient,
    "projected_gradient": ProjectedGradient,
    "parallel_gradient": ParallelGradient,
    "categorical_cem": CategoricalCEM,
    "beam_search": BeamSearch,
}
"""Planners that a task file may name."""


def _with_exponent(value: Any) -> Any:
    """YAML 1.1 takes 1e-3 for text, since it has no point."""
    try:
        return float(value) if isinstance(value, str) and "e" in value.lower() else value
    except ValueError:
        return value


Number = Annotated[float, Field(strict=True, allow_inf_nan=False), BeforeValidator(_with_exponent)]
Count = Annotated[PositiveInt, Field(strict=True)]
Share = Annotated[Number, Field(gt=0, le=1)]
Name = Annotated[str, Field(strict=True, min_length=1)]
Ends = Annotated[list[Number | None], Field(min_length=2, max_length=2)]
"""Least and largest; null where there is none."""


def hint(name: str, known: Iterable[str]) -> str:
    """The closest of the known names, as a question; empty where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def wrong(message: str, *at: int | str) -> PydanticCustomError:
    """An error in the words of its message, at a place within the part that is validated."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "at": at})


def _tuples(ends: Mapping[str, list[float | None]]) -> dict[str, tuple[float | None, float | None]]:
    return {name: (low, high) for name, (low, high) in ends.items()}


class Part(BaseModel):
    """A mapping of the task file whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, content: Any) -> Any:
        if isinstance(content, dict):
            cls.refuse(content)
        return content

    @classmethod
    def refuse(cls, content: Mapping[Any, Any]) -> None:
        """Refuses what it cannot have, before its values are looked at."""
        known = cls.keys()
        for key in content:
            if key not in known:
                said = f"found the unknown key {key!r}, expected {', '.join(known)}."
                raise wrong(said + hint(str(key), known), key)

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The keys that it may have."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())


class Choice(Part):
    """A mapping that says one of several things, and perhaps something besides."""

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """The keys of which there must be one."""
        return cls.keys()

    @classmethod
    def refuse(cls, content: Mapping[Any, Any]) -> None:
        """See :class:`Part`."""
        super().refuse(content)
        said = [key for key in cls.kinds() if content.get(key) is not None]
        if len(said) != 1:
            found = " and ".join(said) or "none of them"
            raise wrong(f"found {found}, expected exactly one of {', '.join(cls.kinds())}.")


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


class GoalPart(Choice):
    """What is to be reached."""

    image: Name | None = None
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


class Nothing(Part):
    """There is nothing to say."""


class RetreatPart(Part):
    """Goes back along the way that it came."""

    steps: Count = Retreat.steps


class FallbackPart(Choice):
    """What is done where no plan keeps within the guardrails; by its name where that is all."""

    stop: Nothing | None = None
    hold: Nothing | None = None
    least_violation: Nothing | None = None
    retreat: RetreatPart | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, content: Any) -> Any:
        return {content: {}} if isinstance(content, str) else content

    def build(self) -> Fallback:
        """The fallback."""
        if self.retreat is not None:
            return Retreat(steps=self.retreat.steps)
        if self.least_violation is not None:
            return LeastViolation()
        return Hold() if self.hold is not None else Stop()


class RungPart(Part):
    """Where candidates are judged on the way, and the share of them that goes on."""

    steps: Count
    share: Share = 0.5

    def build(self) -> Rung:
        """The rung."""
        return Rung(steps=self.steps, share=self.share)


class PlannerPart(Part):
    """What is to be different about the recipe's planner, or another one."""

    name: Name | None = None
    horizon: Count | None = None
    samples: Count | None = None
    iterations: Count | None = None
    elites: Count | None = None
    screened: Share | None = None
    halving: list[RungPart] = []

    @field_validator("name")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in PLANNERS:
            said = f"found the unknown planner {name!r}, expected {', '.join(PLANNERS)}."
            raise wrong(said + hint(name, PLANNERS))
        return name

    @field_validator("halving")
    @classmethod
    def _in_order(cls, rungs: list[RungPart]) -> list[RungPart]:
        Halving(planner=CEM(), rungs=tuple(one.build() for one in rungs))
        return rungs

    @model_validator(mode="after")
    def _sound(self) -> PlannerPart:
        if self.samples and self.elites and self.elites > self.samples:
            raise wrong(
                f"found {self.elites} elites of {self.samples} samples, expected no more elites "
                "than samples. Lower elites.",
                "elites",
            )
        return self


class ReusePart(Part):
    """When the plan goes on for another model step instead of a search."""

    surprise: Annotated[Number, Field(gt=0)]
    longest: Count

    def build(self) -> ReuseConfig:
        """The setting."""
        return ReuseConfig(surprise=self.surprise, longest=self.longest)


class BudgetPart(Part):
    """What a decision may take."""

    deadline_ms: Annotated[Number, Field(gt=0)] | None = None
    replan_every: Count | None = None
    reuse: ReusePart | None = None
    fast: Name | None = None

    @field_validator("fast")
    @classmethod
    def _known(cls, fast: str | None) -> str | None:
        if fast not in (None, "exact", "any"):
            raise wrong(
                f"found {fast!r}, expected exact (all in float32) or any (any precision that the "
                "model's energies agree with)."
            )
        return fast

    def build_fast(self) -> FastConfig | None:
        """How imagination is computed faster; None where it is not."""
        return None if self.fast is None else FastConfig(exact=self.fast == "exact")


class TaskPart(Part):
    """A task file."""

    goal: GoalPart | None = None
    goals: list[LegPart] = []
    terms: dict[Name, Annotated[Number, Field(ge=0)]] = {}
    guardrails: list[GuardrailPart] = []
    fallback: FallbackPart = FallbackPart(least_violation=Nothing())
    planner: PlannerPart = PlannerPart()
    budget: BudgetPart = BudgetPart()

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
