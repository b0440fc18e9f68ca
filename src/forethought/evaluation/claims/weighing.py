"""From measured figures to a verdict: what a claim predicts, and what the intervals say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from forethought.evaluation.significance import student_quantile
from forethought.types import ForethoughtError

LEAST_MODELS = 3
"""Independently trained models below which nothing is settled, whatever the intervals say."""


class Verdict(StrEnum):
    """What the experiments say of a claim."""

    HOLDS = "holds"
    DOES_NOT = "does not hold"
    NOT_SETTLED = "not settled"
    NOT_TESTED = "not yet tested"


class Support(StrEnum):
    """What a prediction's interval says."""

    FOR = "for"
    AGAINST = "against"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Span:
    """A value with its 95 % interval.

    Attributes:
        value: the figure.
        low: lower end; NaN where there is no interval.
        high: upper end; NaN where there is no interval.
    """

    value: float
    low: float
    high: float

    def less(self, other: Span) -> Span:
        """The difference of two independent figures, by MOVER (Newcombe, 1998, method 10)."""
        value = self.value - other.value
        return Span(
            value=value,
            low=value - math.hypot(self.value - self.low, other.high - other.value),
            high=value + math.hypot(self.high - self.value, other.value - other.low),
        )


def pooled(spans: Sequence[Span]) -> Span:
    """The mean over cases.

    Its interval is the wider of two at either end: what the cases' own intervals leave open, and,
    from three cases on, what the cases differ by (Student's t). With neither it is NaN.
    """
    n = len(spans)
    value = sum(one.value for one in spans) / n
    low = math.hypot(*(one.value - one.low for one in spans)) / n
    high = math.hypot(*(one.high - one.value for one in spans)) / n
    if n >= LEAST_MODELS:
        spread = math.sqrt(sum((one.value - value) ** 2 for one in spans) / (n - 1))
        between = student_quantile(n - 1) * spread / math.sqrt(n)
        low, high = (between if math.isnan(one) else max(one, between) for one in (low, high))
    return Span(value=value, low=value - low, high=value + high)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The results of one benchmark, as far as they are read.

    Attributes:
        command: what measures it again.
        seeds: of its trainings.
        figures: value, low and high by the figure's name.
    """

    command: str
    seeds: tuple[int, ...]
    figures: Mapping[str, Span]

    def again(self) -> str:
        """The command with its seeds."""
        seeds = " ".join(map(str, self.seeds))
        return f'{self.command} ARGS="--seeds {seeds}"' if seeds else self.command

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Experiment:
        """An experiment from ``benchmarks/results/NAME.json``, or from a part of its figures."""

        def number(value: float | None) -> float:
            return math.nan if value is None else float(value)

        return cls(
            command=content["command"],
            seeds=tuple(content["seed"]),
            figures={
                one["name"]: Span(
                    value=number(one["value"]), low=number(one["low"]), high=number(one["high"])
                )
                for one in content["figures"]
            },
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a claim predicts of an experiment's figures, in one or several cases.

    Attributes:
        says: in words.
        experiment: name of the benchmark.
        figure: name of its figure; ``{case}`` stands for each case.
        against: a figure that is taken from it; None for none.
        at_least: what the figure, or the difference, should be at the least.
        at_most: what it should be at the most; one of the two is given.
        cases: what ``{case}`` stands for: worlds, seeds, blocks.
        decides: whether the verdict heeds it; what does not is shown beside.
    """

    says: str
    experiment: str
    figure: str
    against: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    cases: tuple[str, ...] = ("",)
    decides: bool = True

    def names(self) -> list[str]:
        """The figures that are read."""
        forms = [self.figure] if self.against is None else [self.figure, self.against]
        return [form.replace("{case}", case) for case in self.cases for form in forms]

    def weigh(self, experiment: Experiment) -> Weighed:
        """What the experiment says.

        Raises:
            ForethoughtError: it has no figure of a name that is read.
        """
        for name in self.names():
            if name not in experiment.figures:
                raise ForethoughtError(
                    f"{self.experiment}: no figure {name!r} among {len(experiment.figures)}; "
                    f"measure again with `{experiment.command}`."
                )
        spans = [self._span(experiment, case) for case in self.cases]
        whole = pooled(spans)
        if self.against is None and all(one.low >= 0 and one.high <= 1 for one in spans):
            # Of shares, what cases differ by may not lead beyond none and all.
            whole = replace(whole, low=max(0.0, whole.low), high=min(1.0, whole.high))
        supports = [self._supported(one) for one in spans]
        support = self._supported(whole)
        contrary = {Support.FOR: Support.AGAINST, Support.AGAINST: Support.FOR}.get(support)
        return Weighed(
            prediction=self,
            span=whole,
            support=Support.OPEN if contrary in supports else support,
        )

    def _span(self, experiment: Experiment, case: str) -> Span:
        first = experiment.figures[self.figure.replace("{case}", case)]
        if self.against is None:
            return first
        return first.less(experiment.figures[self.against.replace("{case}", case)])

    def _supported(self, span: Span) -> Support:
        """A figure without any interval supports nothing."""
        if math.isnan(span.low) or math.isnan(span.high):
            return Support.OPEN
        if self.at_least is not None:
            near, far = span.low >= self.at_least, span.high < self.at_least
        else:
            assert self.at_most is not None
            near, far = span.high <= self.at_most, span.low > self.at_most
        return Support.FOR if near else Support.AGAINST if far else Support.OPEN

    def threshold(self) -> str:
        """For tables: ``at least 0.9``."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}"


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """A prediction, and what was measured of it.

    Attributes:
        prediction: what was predicted.
        span: over all its cases.
        support: what the interval says.
    """

    prediction: Prediction
    span: Span
    support: Support

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self.prediction), **asdict(self.span), "support": str(self.support)}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the architecture, and what it predicts.

    Attributes:
        name: short, for the command line.
        says: the claim.
        source: where it is made.
        predictions: of experiments; none where nothing tests it yet.
        models: the independently trained models that the predictions are about.
        note: what a reader should know beside the figures.
    """

    name: str
    says: str
    source: str
    predictions: tuple[Prediction, ...] = ()
    models: tuple[str, ...] = ()
    note: str = ""

    def experiments(self) -> tuple[str, ...]:
        """The benchmarks that test it, in order."""
        return tuple(dict.fromkeys(one.experiment for one in self.predictions))


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim with its verdict.

    Attributes:
        claim: what is claimed.
        verdict: what the experiments say.
        because: in a sentence.
        weighed: every prediction with what was measured.
        commands: what measures them again, with the seeds of each.
        seeds: of all trainings.
    """

    claim: Claim
    verdict: Verdict
    because: str
    weighed: tuple[Weighed, ...] = ()
    commands: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "name": self.claim.name,
            "claim": self.claim.says,
            "source": self.claim.source,
            "verdict": str(self.verdict),
            "because": self.because,
            "predictions": [one.to_json() for one in self.weighed],
            "models": list(self.claim.models),
            "commands": list(self.commands),
            "seeds": list(self.seeds),
            "note": self.claim.note,
        }


def judge(claim: Claim, experiments: Mapping[str, Experiment]) -> Judged:
    """The verdict on a claim.

    It *holds* where the interval of every prediction that decides lies where it was predicted, in
    no case on the other side, for at least three trained models. It *does not hold* where the
    interval of one lies on the other side, for as many models. All else is *not settled*. A claim
    without predictions, or whose experiments have not been run, is *not yet tested*.

    Args:
        claim: what is claimed.
        experiments: results by the name of the benchmark.

    Raises:
        ForethoughtError: an experiment lacks a figure that a prediction is about.
    """
    missing = [name for name in claim.experiments() if name not in experiments]
    if not claim.predictions or missing:
        why = f"no results of {', '.join(missing)}" if missing else "no experiment tests it"
        return Judged(claim=claim, verdict=Verdict.NOT_TESTED, because=f"{why}.")
    weighed = tuple(one.weigh(experiments[one.experiment]) for one in claim.predictions)
    verdict, because = _verdict(claim, [one for one in weighed if one.prediction.decides])
    used = [experiments[name] for name in claim.experiments()]
    return Judged(
        claim=claim,
        verdict=verdict,
        because=because,
        weighed=weighed,
        commands=tuple(one.again() for one in used),
        seeds=tuple(sorted({seed for one in used for seed in one.seeds})),
    )


def _verdict(claim: Claim, deciding: Sequence[Weighed]) -> tuple[Verdict, str]:
    contrary = [one for one in deciding if one.support is Support.AGAINST]
    undecided = [one for one in deciding if one.support is Support.OPEN]
    if undecided and not contrary:
        said = "; ".join(one.prediction.says for one in undecided)
        return Verdict.NOT_SETTLED, f"the interval leaves open: {said}."
    points_to = Verdict.DOES_NOT if contrary else Verdict.HOLDS
    if len(claim.models) < LEAST_MODELS:
        found = len(claim.models)
        return Verdict.NOT_SETTLED, (
            f"it {points_to} for {found} trained {'model' if found == 1 else 'models'}; "
            f"{LEAST_MODELS} at the least settle anything."
        )
    if contrary:
        said = "; ".join(one.prediction.says for one in contrary)
        return Verdict.DOES_NOT, f"measured against it: {said}."
    return Verdict.HOLDS, f"all that it predicts is measured, in {len(claim.models)} models."
