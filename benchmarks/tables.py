"""Writes what quotes the committed results: ``python benchmarks/tables.py``.

That is docs/results.md, the README's table, and the figures that ``forethought claims`` carries.
"""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = """# Results

Made by `python benchmarks/tables.py` from `benchmarks/results/*.json`; each file is written by
the command named beside it. Intervals are 95 %. A missed goal stays in the table.
"""


def row(figure: dict) -> str:
    """One figure as a table row."""
    value = f"{figure['value']:.4g} {figure['unit']}".strip()
    interval = "" if figure["low"] is None else f"{figure['low']:.4g} to {figure['high']:.4g}"
    mark = {True: "yes", False: "**no**", None: ""}[figure["holds"]]
    count = "" if figure["n"] is None else str(figure["n"])
    return (
        f"| {figure['name']} | {value} | {interval} | {count} | {figure['goal'] or ''} | {mark} |"
    )


def section(path: Path) -> str:
    """One benchmark as a section."""
    content = json.loads(path.read_text())
    machine = content["machine"]
    figures = content["figures"]
    lines = [
        f"## {content['name']}",
        "",
        f"`{content['command']}`, seeds {content['seed']}, {content['seconds']:.0f} s on "
        f"{machine['threads']} of {machine['cores']} cores "
        f"([file](../benchmarks/results/{content['name']}.json))",
        "",
        *(side_by_side(figures) if content["name"] in COMPARED else one_by_one(figures)),
    ]
    return "\n".join(lines)


def one_by_one(figures: list[dict]) -> list[str]:
    """A row for each figure."""
    return [
        "| figure | value | interval | n | goal | holds |",
        "|---|---|---|---|---|---|",
        *map(row, figures),
        "",
    ]


COMPARED = ("encoders", "baselines", "guardrails", "conformal", "shifts", "physics")
"""Benchmarks whose figures are named ``<world>, seed <s>, <what>: <figure>``."""


def side_by_side(figures: list[dict]) -> list[str]:
    """A table for each world and seed: a row for what is compared, a column for each figure."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for figure in figures:
        left, column = figure["name"].rsplit(": ", 1)
        world, rest = left.split(", seed ", 1)
        seed, what = rest.split(", ", 1)
        unit = f" [{figure['unit']}]" if figure["unit"] else ""
        rows = tables.setdefault(f"{world}, seed {seed}", {})
        rows.setdefault(what, {})[column + unit] = cell(figure)
    lines = []
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
        lines += [
            f"### {name}",
            "",
            f"| | {' | '.join(columns)} |",
            "|---" * (len(columns) + 1) + "|",
            *(
                f"| {what} | {' | '.join(cells.get(one, '') for one in columns)} |"
                for what, cells in rows.items()
            ),
            "",
        ]
    return lines


def cell(figure: dict) -> str:
    """A figure and its interval, as short as they can be."""
    if figure["low"] is None:
        return f"{figure['value']:.3g}"
    return f"{figure['value']:.2g} ({figure['low']:.2g} to {figure['high']:.2g})"


HEADLINES = [
    (
        "demo",
        "seed 0: success",
        "two rooms from pixels, 200 held-out tasks: goals met at some step",
    ),
    ("demo", "seed 0: success_across", "the same, across rooms"),
    ("demo", "seed 0: success_at_end", "at the last step"),
    ("demo", "seed 0: floor", "random actions: at some step"),
    ("demo", "seed 0: training", "its training, one thread"),
    (
        "two_rooms_random",
        "seed 0: success",
        "wall and door drawn per episode, unseen layouts: goals met at some step",
    ),
    ("two_rooms_random", "seed 0: success_across", "the same, across rooms"),
    ("two_rooms_random", "seed 0: success_at_end", "at the last step"),
    ("two_rooms_random", "seed 0: floor", "random actions: at some step"),
    ("pendulum", "seed 0: success", "pendulum from pixels: upright for the last 20 of 200 steps"),
    ("pendulum", "seed 0: floor", "random actions there"),
    ("planning_small", "decision, median", "a decision in the two rooms, one thread"),
    (
        "planning_peer",
        "exact: peer's time over ours",
        "a round of LeWM-size planning, one thread: stable-worldmodel's time over ours, exact",
    ),
    ("planning_peer", "fast: peer's time over ours", "in bfloat16"),
    (
        "planning_peer",
        "two rooms, everything on: peer's time over ours",
        "a decision in two rooms at equal success, everything on",
    ),
    (
        "planning_eb_jepa",
        "exact: times as fast",
        "eb_jepa's planning, re-created: its time over ours, exact",
    ),
    (
        "f1tenth",
        "f1tenth, seed 0, 40 steps: model over copy",
        "race car, 1 s ahead: error over copy",
    ),
    ("f1tenth", "f1tenth, seed 0, 40 steps: ridge over copy", "ridge regression there"),
    (
        "schunk_arm",
        "schunk_arm, seed 0, 50 steps: model over copy",
        "arm, 0.2 s ahead: error over copy",
    ),
    ("schunk_arm", "schunk_arm, seed 0, 50 steps: ridge over copy", "ridge regression there"),
    (
        "humanoid",
        "state, seed 0, 15 steps: model over copy",
        "humanoid, 0.5 s ahead: error over copy",
    ),
    ("humanoid", "state, seed 0, 15 steps: ridge over copy", "ridge regression there"),
    (
        "humanoid",
        "images, seed 0: splice AUROC",
        "humanoid camera: splices found by surprise, AUROC",
    ),
    (
        "ensemble",
        "seed 0: hindsight, passing through the wall: AUROC",
        "a dot that passes a wall, found by disagreement, AUROC",
    ),
    (
        "hierarchy",
        "two_rooms, seed 0: flat, horizon 16: success, across",
        "across rooms without a critic: one level",
    ),
    (
        "hierarchy",
        "two_rooms, seed 0: two levels: success, across",
        "two levels there",
    ),
    (
        "hierarchy",
        "rooms_maze, seed 0: flat, horizon 8: success, far",
        "25 rooms, unseen layouts, goals six doors away and more: one level",
    ),
    (
        "hierarchy",
        "rooms_maze, seed 0: two levels: success, far",
        "two levels there",
    ),
    (
        "transfer",
        "two_rooms, scratch, 20 labelled, seed 0: success",
        "two rooms, 20 episodes with actions: success",
    ),
    (
        "transfer",
        "two_rooms, pretrained, fine-tuned, 20 labelled, actions inferred, seed 0: success",
        "the same and 600 without: actions inferred",
    ),
    (
        "transfer",
        "two_rooms, scratch, 100 labelled, seed 0: success",
        "100 episodes with actions",
    ),
    (
        "physics",
        "video model, seed 0, all: pairs",
        "intuitive physics: impossible clips that surprise more, mean of seven blocks",
    ),
    ("physics", "video model, seed 0, constancy: pairs", "the hardest block: colours and forms"),
    (
        "physics",
        "pixels, seed 0, all: pairs",
        "the same predictor, foreseeing pixels: mean of blocks",
    ),
    ("physics", "tokens, seed 0, all: pairs", "frames written token by token: mean of blocks"),
    (
        "guardrails",
        "point_hazards, seed 0, no guardrails: hazards, episodes violated",
        "a heavy point among hazards: episodes that enter one, unguarded",
    ),
    (
        "guardrails",
        "point_hazards, seed 0, CEM, risk 0.01: hazards, episodes violated",
        "with guardrails at a risk of 0.01",
    ),
    (
        "guardrails",
        "point_hazards, seed 0, actions by 1.2, risk 0.01: hazards, steps violated",
        "steps in one where actions act 1.2 times as strongly as recorded",
    ),
    (
        "guardrails",
        "pendulum_limits, seed 0, time: with over without",
        "a guarded decision over an unguarded one, as many candidates",
    ),
    (
        "critic",
        "two_rooms_random, seed 0: rank correlation with the true way, temporal distance",
        "steps to a goal told on unseen layouts: rank correlation with the true way",
    ),
    (
        "latent_variable",
        "seed 0: latent variable: both turns among 16 futures",
        "a turn that a coin decides: both foreseen among 16 futures",
    ),
    (
        "latent_variable",
        "seed 0: deterministic: collisions",
        "collisions of who plans by one future",
    ),
    (
        "latent_variable",
        "seed 0: latent, worst: collisions",
        "by the worst of four",
    ),
    (
        "memory",
        "seed 0: memory of slots, success",
        "a sign seen once says which of two doors is a trap: success with a memory of slots",
    ),
    ("memory", "seed 0: no memory, success", "without memory"),
    ("memory", "seed 0: window of four, success", "with a window of four model steps"),
    (
        "baselines",
        "two_rooms, seed 0, pixels, as many steps as JEPA: success",
        "two rooms: drawing the future instead of foreseeing latents, as many steps: success",
    ),
    (
        "baselines",
        "two_rooms, seed 0, cloning: success",
        "behaviour cloning there: success",
    ),
    (
        "baselines",
        "two_rooms, seed 0, IQL: success",
        "goal-conditioned IQL there: success",
    ),
    (
        "allocation",
        "faster with freed memory kept",
        "training steps with freed memory kept: so many times as fast",
    ),
    (
        "lewm_import",
        "rollout, 5 steps: time over peer's",
        "LeWM imported: five steps imagined, our time over the peer's",
    ),
    (
        "words",
        "seed 0: success, words over pictures of their middle",
        "two rooms, goals in sentences never said before: success over that of pictures",
    ),
    (
        "explore",
        "seed 0, curiosity: coverage over random's",
        "one maze of 25 rooms explored by curiosity: its floor seen, over that by random actions",
    ),
    (
        "explore",
        "seed 0, random: success",
        "goals all over it, of a model trained on random actions: success",
    ),
    (
        "explore",
        "seed 0, curiosity: success",
        "of a model trained on what curiosity recorded",
    ),
    (
        "explore",
        "seed 1, curiosity: coverage over random's",
        "curiosity in a second layout, on which no setting was chosen: its floor seen, over random",
    ),
    (
        "explore",
        "seed 0, curiosity: coverage over that without disagreement",
        "curiosity over going where the episode has not been, without disagreement: floor seen",
    ),
    (
        "explore",
        "seed 1, curiosity: coverage over that without disagreement",
        "in the second layout",
    ),
    (
        "adapt",
        "friction, seed 0: frozen",
        "pushes that go on as on ice, all at once: success of an agent that does not adapt",
    ),
    (
        "adapt",
        "friction, seed 0: adapted, share of the original",
        "of one that adapts, after 2,000 world steps, over the original",
    ),
    (
        "distill",
        "two_rooms, seed 0: success, Mode 1 over Mode 2",
        "30 rounds of 300 candidates distilled: success of reflexes over the search's",
    ),
    (
        "distill",
        "two_rooms, seed 0: time of a decision, Mode 1 over Mode 2",
        "their time of a decision over the search's",
    ),
    (
        "distill",
        "two_rooms_random, seed 0: success, Mode 1 over Mode 2",
        "unseen layouts: success of reflexes over the search's",
    ),
    (
        "babi",
        "tasks solved, seed 0",
        "bAbI's twenty tasks, one configuration: under 5 % of answers wrong",
    ),
    (
        "significance",
        "one run a side, 400 tasks: seeds called different",
        "single runs that differ by their seed alone, 200 comparisons: called different",
    ),
    (
        "significance",
        "three runs a side, 400 tasks: seeds called different",
        "three runs a side",
    ),
    (
        "significance",
        "three runs a side, 400 tasks: that gap found",
        "a true gap of some ten points, 400 tasks: found",
    ),
    (
        "attribution",
        "model planted: named by replacing parts",
        "failures of a corrupted model, named by replacing parts",
    ),
    ("attribution", "objective planted: named by replacing parts", "of a misleading goal"),
    ("attribution", "search planted: named by replacing parts", "of a search of one candidate"),
    (
        "attribution",
        "search of two planted: named by replacing parts",
        "of a search of two candidates, which sometimes succeeds by chance",
    ),
    (
        "shifts",
        "two_rooms, robustness, seed 0, mean over factors, one at a time: met at some step",
        "two rooms changed in 18 ways: what is left of being better than random, goals met",
    ),
    (
        "shifts",
        "two_rooms, robustness, seed 0, mean over factors, one at a time: kept at the end",
        "goals kept",
    ),
    (
        "shifts",
        "two_rooms, rank of path length, seed 0, all: energy",
        "two rooms: rank correlation of the energy with the true path length",
    ),
    (
        "sample_efficiency",
        "planning, nobody drives: minutes until 80%",
        "CarRacing from pixels: minutes of straying, nobody driving, until 80 % of drives succeed",
    ),
    (
        "sample_efficiency",
        "cloning, nobody drives: most success",
        "behaviour cloning from straying, most success",
    ),
    (
        "sample_efficiency",
        "cloning, demonstrations: minutes until 80%",
        "behaviour cloning from a driver: minutes of demonstrations",
    ),
    (
        "text_model",
        "next byte, seed 0: held-out nats a character",
        "tinyshakespeare, held-out nats a character",
    ),
]
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def headlines() -> str:
    """The README's table; what has not been measured yet is left out.

    Raises:
        ValueError: a benchmark has been measured, and none of its figures has the name.
    """
    lines = ["| what | measured | interval | n | goal | holds |", "|---|---|---|---|---|---|"]
    for name, wanted, label in HEADLINES:
        path = ROOT / "benchmarks" / "results" / f"{name}.json"
        if not path.exists():
            continue
        found = [one for one in json.loads(path.read_text())["figures"] if one["name"] == wanted]
        if not found:
            raise ValueError(f"{path}: no figure {wanted!r}; correct HEADLINES, or measure again.")
        lines.append(row({**found[0], "name": label}))
    return "\n".join(lines)


def results() -> str:
    """The whole of docs/results.md."""
    files = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    return "\n".join([HEAD, *map(section, files)])


def readme(text: str) -> str:
    """The README with its table renewed."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{headlines()}\n{END}{after}"


CLAIMED = ROOT / "src" / "forethought" / "evaluation" / "claims" / "figures.json"


def claimed() -> str:
    """The figures that claims are about, as the package carries them."""
    from forethought.evaluation.claims import CLAIMS, cited

    return json.dumps(cited(ROOT / "benchmarks" / "results", CLAIMS), indent=1) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "results.md").write_text(results())
    CLAIMED.write_text(claimed())
    page = ROOT / "README.md"
    page.write_text(readme(page.read_text()))
