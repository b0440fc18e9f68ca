"""The claims of the architecture, and what each predicts of our experiments.

What is predicted was written beside the claim; thresholds say what an engineer would call a
difference worth having, and are not fitted to what came out.
"""

from __future__ import annotations

from forethought.evaluation.claims.weighing import Claim, Prediction

PAPER = "LeCun, A Path Towards Autonomous Machine Intelligence (2022)"
SEEDS = ("seed 0", "seed 1", "seed 2")
FIVE = (*SEEDS, "seed 3", "seed 4")
FORESEEN = (
    *(f"{model}, {seed}" for model in ("latents", "pixels") for seed in FIVE),
    *(f"tokens, {seed}" for seed in SEEDS),
)
AS_GOOD = -0.1
"""A rate may be ten points lower and still count as as good."""
BLOCKS = (
    "permanence",
    "continuity",
    "solidity",
    "gravity",
    "inertia",
    "constancy",
    "two_rooms",
)
REFLEX_WORLDS = ("two_rooms", "reacher_joints", "two_rooms_random")
CHANGES = tuple(
    f"{change}, seed {seed}" for seed in (0, 1) for change in ("friction", "camera", "gain", "flip")
)

CLAIMS = (
    Claim(
        name="latents",
        says="Prediction in latent space beats prediction of pixels at equal compute.",
        source=f"{PAPER}, 4.3; generative models foresee what does not matter",
        models=FIVE,
        predictions=(
            Prediction(
                says="goals reached, latents less pixels after as many steps of training",
                experiment="foresight",
                figure="latents, {case}: success",
                against="pixels, {case}: success",
                at_least=0.1,
                cases=FIVE,
            ),
            Prediction(
                says="error after five model steps [px], pixels less latents",
                experiment="foresight",
                figure="pixels, {case}: off after 5 blocks",
                against="latents, {case}: off after 5 blocks",
                at_least=0.0,
                cases=FIVE,
            ),
            Prediction(
                says="goals reached, latents less pixels that trained five times as long",
                experiment="baselines",
                figure="two_rooms, seed 0, JEPA: success",
                against="two_rooms, seed 0, pixels: success",
                at_least=0.0,
                decides=False,
            ),
        ),
        note="With five times the training a model that draws the future plans as well.",
    ),
    Claim(
        name="drift",
        says="Rollouts that feed on their own predictions drift exponentially.",
        source="LeCun, talks since 2022: the chance of a right answer falls as (1 - e)^n",
        models=FORESEEN,
        predictions=(
            Prediction(
                says="misfit of an exponential to the course of errors less that of a power",
                experiment="foresight",
                figure="{case}: misfit of an exponential less that of a power",
                at_most=0.0,
                cases=FORESEEN,
            ),
            Prediction(
                says="rollouts right for twenty steps, less what the first five foretell",
                experiment="foresight",
                figure="{case}: right for 20 blocks, less what 5 foretell",
                at_most=0.0,
                cases=tuple(f"tokens, {seed}" for seed in SEEDS),
            ),
            Prediction(
                says="the same misfit for a pendulum, whose falls part ways by themselves",
                experiment="foresight",
                figure="pendulum, {case}: misfit of an exponential less that of a power",
                at_most=0.0,
                cases=SEEDS,
                decides=False,
            ),
        ),
        note="Tested on frames written token by token, not on language.",
    ),
    Claim(
        name="planning",
        says="Planning by energy, looking again at every step, does not drift.",
        source=f"{PAPER}, 3.1.2; reasoning as the minimisation of an energy",
        models=FIVE,
        predictions=(
            Prediction(
                says="goals reached, the farther half of them less the nearer",
                experiment="foresight",
                figure="latents, {case}: success, farther half",
                against="latents, {case}: success, nearer half",
                at_least=AS_GOOD,
                cases=FIVE,
            ),
        ),
    ),
    Claim(
        name="latent-variables",
        says="Latent variables are needed where futures fork.",
        source=f"{PAPER}, 4.2",
        models=("seed 0",),
        predictions=(
            Prediction(
                says="collisions without a latent variable less those with one",
                experiment="latent_variable",
                figure="{case}: deterministic: collisions",
                against="{case}: latent, average: collisions",
                at_least=0.1,
                cases=("seed 0",),
            ),
            Prediction(
                says="futures that are one of the two, with a latent variable less without",
                experiment="latent_variable",
                figure="{case}: latent variable: futures that are one of the turns",
                against="{case}: deterministic: its future is one of the turns",
                at_least=0.5,
                cases=("seed 0",),
            ),
        ),
    ),
    Claim(
        name="hierarchy",
        says="A hierarchy extends the horizon.",
        source=f"{PAPER}, 4.6 and 4.7",
        models=(
            "two_rooms, seed 0",
            "two_rooms, seed 1",
            "two_rooms, seed 2",
            "rooms_maze, seed 0",
        ),
        predictions=(
            Prediction(
                says="goals across rooms without a critic, two levels less the longest flat search",
                experiment="hierarchy",
                figure="two_rooms, {case}: two levels: success, across",
                against="two_rooms, {case}: flat, horizon 16: success, across",
                at_least=0.1,
                cases=SEEDS,
            ),
            Prediction(
                says="far goals in a maze, two levels less a flat search",
                experiment="hierarchy",
                figure="rooms_maze, seed 0: two levels: success, far",
                against="rooms_maze, seed 0: flat, horizon 8: success, far",
                at_least=0.1,
            ),
            Prediction(
                says="far goals in a maze, two levels less one level with a map of its own",
                experiment="hierarchy",
                figure="rooms_maze, seed 0: two levels: success, far",
                against="rooms_maze, seed 0: one level, on a map of its own: success, far",
                at_least=0.1,
                decides=False,
            ),
        ),
        note="In the maze a single level that plans on a map does as well: what helps there is the "
        "coarse map, not the upper model.",
    ),
    Claim(
        name="guardrails",
        says="Guardrails by construction hold where a penalty does not.",
        source=f"{PAPER}, 3.3 and 6; intrinsic cost that cannot be traded away",
        models=SEEDS,
        predictions=tuple(
            Prediction(
                says=f"{setting}: episodes that cross the {what}, best penalty less guardrails",
                experiment="penalty",
                figure="{case}, " + f"{setting}, best penalty: {what}, episodes violated",
                against="{case}, " + f"{setting}, guardrails: {what}, episodes violated",
                at_least=0.01,
                cases=SEEDS,
            )
            for setting in ("as recorded", "actions by 1.2")
            for what in ("zone", "disc")
        ),
        note="The weight of the penalty is the one that does best on these very tasks.",
    ),
    Claim(
        name="reflexes",
        says="A reflex distilled from planning is as good, and far faster.",
        source=f"{PAPER}, 3.1.3; from Mode 2 to Mode 1",
        models=REFLEX_WORLDS,
        predictions=(
            Prediction(
                says="goals reached, Mode 1 less Mode 2",
                experiment="distill",
                figure="{case}, seed 0: success, Mode 1",
                against="{case}, seed 0: success, Mode 2",
                at_least=AS_GOOD,
                cases=REFLEX_WORLDS,
            ),
            Prediction(
                says="time of a decision, Mode 1 over Mode 2",
                experiment="distill",
                figure="{case}, seed 0: time of a decision, Mode 1 over Mode 2",
                at_most=0.1,
                cases=REFLEX_WORLDS,
            ),
        ),
        note="Mode 2 is a thorough search; beside the recipe's quick one a reflex takes a fifth.",
    ),
    Claim(
        name="critic",
        says="A critic shortens the horizon.",
        source=f"{PAPER}, 3.2; the trainable critic",
        models=SEEDS,
        predictions=(
            Prediction(
                says="goals reached, critic and two steps less latent distance and sixteen",
                experiment="critic",
                figure="two_rooms, {case}: success, critic, horizon 2",
                against="two_rooms, {case}: success, latent distance, horizon 16",
                at_least=0.1,
                cases=SEEDS,
            ),
            Prediction(
                says="goals reached with the critic, two steps less eight",
                experiment="critic",
                figure="two_rooms, {case}: success, critic, horizon 2",
                against="two_rooms, {case}: success, critic, horizon 8",
                at_least=AS_GOOD,
                cases=SEEDS,
            ),
        ),
    ),
    Claim(
        name="transfer",
        says="What is learned from video without actions transfers with little labelled data.",
        source=f"{PAPER}, 4.4; most is learned by watching",
        models=SEEDS,
        predictions=(
            Prediction(
                says="goals reached with ten labelled episodes, pretrained less from scratch",
                experiment="transfer",
                figure="two_rooms, pretrained, fine-tuned, 10 labelled, actions inferred, {case}: "
                "success",
                against="two_rooms, scratch, 10 labelled, {case}: success",
                at_least=0.1,
                cases=SEEDS,
            ),
            Prediction(
                says="the same with forty",
                experiment="transfer",
                figure="two_rooms, pretrained, fine-tuned, 40 labelled, actions inferred, {case}: "
                "success",
                against="two_rooms, scratch, 40 labelled, {case}: success",
                at_least=AS_GOOD,
                cases=SEEDS,
                decides=False,
            ),
        ),
        note="Most of the gain comes of inferring the actions of clips; with forty labelled "
        "episodes nothing is left to gain.",
    ),
    Claim(
        name="physics",
        says="Surprise knows intuitive physics.",
        source=f"{PAPER}, 2.1; Garrido et al. (2025) for video",
        models=SEEDS,
        predictions=tuple(
            Prediction(
                says=f"{block}: pairs whose impossible clip surprises more",
                experiment="physics",
                figure=f"video model, {{case}}, {block}: pairs",
                at_least=0.9,
                cases=SEEDS,
            )
            for block in BLOCKS
        ),
        note="Of our clips and a small video model, trained for half an hour: slopes, speeds and "
        "forms that are exchanged are what it misses most.",
    ),
    Claim(
        name="adapting",
        says="An agent goes on learning while it acts, without forgetting.",
        source=f"{PAPER}, 4 and 5; continual learning of the world model",
        models=SEEDS[:2],
        predictions=(
            Prediction(
                says="goals kept after a sudden change, adapted less frozen",
                experiment="adapt",
                figure="{case}: adapted for 2000 world steps",
                against="{case}: frozen",
                at_least=0.3,
                cases=CHANGES,
            ),
            Prediction(
                says="goals kept back in the old world, less before",
                experiment="adapt",
                figure="{case}: back in the old world",
                against="{case}: original, old world",
                at_least=AS_GOOD,
                cases=CHANGES,
            ),
        ),
    ),
    Claim(
        name="configurator",
        says="A configurator that is itself learned sets the other modules for a task.",
        source=f"{PAPER}, 3 (The Configurator)",
        note="Ours is set by a task file that a person writes.",
    ),
    Claim(
        name="many-levels",
        says="A hierarchy of more than two learned levels plans over hours and days.",
        source=f"{PAPER}, 4.6",
        note="Two levels are built and measured.",
    ),
    Claim(
        name="natural-video",
        says="Common sense emerges from watching natural video at scale.",
        source=f"{PAPER}, 2.1 and 8",
        note="Needs more video and more machines than a laptop.",
    ),
    Claim(
        name="one-engine",
        says="A single world model engine, shared across tasks, reasons by analogy.",
        source=f"{PAPER}, 3 and 8",
    ),
)
"""In the order of the table."""
