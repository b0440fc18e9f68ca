"""The claims of the architecture, judged by the committed results of the other benchmarks.

Nothing is measured here: ``forethought claims NAME --again`` runs the experiments of a claim.
"""

from __future__ import annotations

import math

from forethought.evaluation.claims import CLAIMS, Judged, Verdict, Weighed, judge, measured_in
from harness import RESULTS, Benchmark, Figure, figure, main


def measure(benchmark: Benchmark) -> None:
    found = measured_in(RESULTS, CLAIMS)
    judged = [judge(claim, found) for claim in CLAIMS]
    for one in judged:
        print(f"\n{one.claim.name}: {one.verdict}; {one.because}")
        benchmark.add(*(predicted(one, weighed) for weighed in one.weighed))
    for verdict in Verdict:
        named = [one.claim.name for one in judged if one.verdict is verdict]
        benchmark.add(figure(f"claims, {verdict}: {', '.join(named)}", len(named)))


def predicted(one: Judged, weighed: Weighed) -> Figure:
    """What was measured of a prediction; its interval holds it where it decides a claim."""
    prediction, span = weighed.prediction, weighed.span
    goal = None
    if prediction.decides:
        least = prediction.at_least is not None
        limit = prediction.at_least if least else prediction.at_most
        goal = f"{'>=' if least else '<='} {limit:g}"
    known = not math.isnan(span.low)
    return figure(
        f"{one.claim.name}: {prediction.says}",
        span.value,
        goal,
        low=span.low if known else None,
        high=span.high if known else None,
    )


if __name__ == "__main__":
    main("claims", measure)
