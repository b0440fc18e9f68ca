"""``forethought claims``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape

from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.evaluation.claims import Claim, Judged


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """The claims of the architecture: what each predicts, what was measured, and the verdict."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Claims to show, by name; all where none is named."""
    results: Path | None = None
    """Folder of results files; the committed figures that come with the package where not said."""
    again: bool = False
    """Run the experiments of the named claims first, in a checkout of the repository: hours for
    some. They are resumed where they were interrupted."""
    page: Path | None = None
    """Write the table as an HTML page, too."""


def run(arguments: Arguments) -> Answer:
    """Judges the claims by what was measured."""
    from forethought.evaluation.claims import committed, judge, measured_in

    claims = _named(arguments.names)
    folder = arguments.results
    if arguments.again:
        folder = _measure_again(claims, arguments.names)
    found = committed() if folder is None else measured_in(folder, claims)
    judged = [judge(claim, found) for claim in claims]
    payload: dict[str, Any] = {"claims": [one.to_json() for one in judged]}
    if arguments.page:
        from forethought.evaluation.report.claims_page import claims_page

        payload["page"] = str(claims_page(arguments.page, judged))

    def show(console: Console) -> None:
        console.print(_table(judged))
        if arguments.names:
            for one in judged:
                _explain(console, one)
        else:
            console.print("`forethought claims NAME` shows what was predicted and measured.")
        if arguments.page:
            console.print(f"page {payload['page']}")

    return Answer(payload=payload, show=show)


def _named(names: Sequence[str]) -> list[Claim]:
    """The claims of these names; all where none is given."""
    from forethought.evaluation.claims import CLAIMS
    from forethought.types import ForethoughtError

    known = {claim.name: claim for claim in CLAIMS}
    if unknown := [name for name in names if name not in known]:
        raise ForethoughtError(f"no claim {unknown[0]!r}; choose among {', '.join(known)}.")
    return [known[name] for name in names] if names else list(CLAIMS)


def _measure_again(claims: Sequence[Claim], names: Sequence[str]) -> Path:
    """Runs the benchmarks of some claims; returns the folder that they write to."""
    from forethought.types import ForethoughtError

    if not names:
        raise ForethoughtError("--again takes hours for all claims; name those to be measured.")
    benchmarks = Path("benchmarks")
    for name in dict.fromkeys(name for claim in claims for name in claim.experiments()):
        script = benchmarks / f"{name}.py"
        if not script.exists():
            raise ForethoughtError(
                f"{script}: not found. Experiments are run in a checkout of the repository; "
                "without --again the committed results are shown."
            )
        print(f"running {script}", file=sys.stderr)
        done = subprocess.run([sys.executable, str(script), "--resume"], stdout=sys.stderr)
        if done.returncode:
            raise ForethoughtError(f"{script} ended with exit code {done.returncode}; see above.")
    return benchmarks / "results"


def _table(judged: Sequence[Judged]) -> object:
    rows = [
        [one.claim.name, one.claim.says, _coloured(str(one.verdict)), escape(one.because)]
        for one in judged
    ]
    return table("The claims, tested", ["claim", "what it says", "verdict", "because"], rows)


COLOURS = {"holds": "green", "does not hold": "red", "not settled": "yellow"}


def _coloured(verdict: str) -> str:
    colour = COLOURS.get(verdict)
    return f"[{colour}]{verdict}[/]" if colour else verdict


def _explain(console: Console, one: Judged) -> None:
    """What was predicted and what was measured, with the command that measures it."""
    rows = [
        [
            escape(weighed.prediction.says)
            + ("" if weighed.prediction.decides else " (shown, not heeded)"),
            f"{weighed.span.value:.3g}",
            f"{weighed.span.low:.3g} to {weighed.span.high:.3g}",
            weighed.prediction.threshold(),
            str(weighed.support),
        ]
        for weighed in one.weighed
    ]
    if rows:
        header = ["predicted", "measured", "95 % interval", "should be", "speaks"]
        console.print(table(f"{one.claim.name} ({one.claim.source})", header, rows))
    if one.claim.note:
        console.print(f"note: {one.claim.note}")
    for command in one.commands:
        console.print(f"again: {command}", soft_wrap=True)
