"""Training of fears: what was still to come, at the cost that a task puts on it.

Distributional temporal-difference learning on frozen latents, of the behaviour in the logs and not
of a better one: an agent that heeds a fear will fare better than it says. The upper quantile of a
sum is not the sum of a cost and a later upper quantile, so the quantile is not carried over from
step to step. The whole distribution is: evenly spaced quantiles of what is to come, each as likely
as the next, plus the costs seen until there, are samples of what is to come from here, to which
quantiles are fitted by the pinball loss (Koenker and Bassett, 1978; Dabney et al., 2018, QR-DQN).
The mean is learned beside them by squared error (TD). Recordings are cut, not ended: where one is
cut, what a slowly following copy foretells goes on.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from forethought.config import register, to_json
from forethought.cost.fear import Fear, FearConfig, at_level, describe, fear_paths, load_fear
from forethought.cost.guardrail import Guardrail
from forethought.cost.terms import Cost, CostTerm
from forethought.data.store import Dataset
from forethought.evaluation.statistics import Estimate, bootstrap_mean, rank_correlation
from forethought.learning.calibrating import check_recorded, probe_key
from forethought.learning.checkpoint import step_generator
from forethought.learning.critic import target_of
from forethought.learning.folder import METRICS, claim_folder
from forethought.learning.latents import LatentEpisodes
from forethought.learning.metrics import JSONLines
from forethought.learning.relabelling import Relabelling
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.model import WEIGHTS, Model, write_safely
from forethought.types import ForethoughtError

CHUNK = 4096


@register
@dataclass(frozen=True, kw_only=True)
class FearTrainingConfig:
    """How a fear is learned.

    Attributes:
        fear: what is foretold.
        optimiser: steps, batch size (states), learning rate.
        steps: model steps whose recorded costs are summed up before the copy's word is taken for
            the rest; fewer where the recording ends. More of them lean less on the copy.
        target_rate: how fast the copy follows.
        depth: see :class:`forethought.learning.relabelling.Relabelling`.
        held_out: share of the episodes that are held out where the data are not those that the
            model was trained on; elsewhere they are the model's own.
        seed: of weights, batches and the split.
    """

    fear: FearConfig = field(default_factory=FearConfig)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(num_steps=1000, batch_size=256, learning_rate=1e-3)
    )
    steps: int = 8
    target_rate: float = 0.02
    depth: bool = False
    held_out: float = 0.1
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class FearReport:
    """How well a fear foretells the recorded costs of held-out episodes.

    What comes after a recording is cut is drawn from the fear itself; ``own_share`` says how much
    of the weight that is.

    Attributes:
        costly: mean cost of a recorded model step.
        above: share of the states after which more came than the upper quantile; one less the
            level, where the quantile is right. By episodes.
        level: of the upper quantile.
        explained: share of the variance of what came that the mean explains (R2); None where
            nothing varies.
        rank_correlation: Spearman's, of the mean and what came; None where nothing varies.
        own_share: discount from the states to the end of the recordings, mean.
        states: that were looked at.
    """

    costly: float
    above: Estimate
    level: float
    explained: float | None
    rank_correlation: float | None
    own_share: float
    states: int


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Discounted sums of recorded costs.

    Attributes:
        rows: ``(n,)`` where they begin.
        values: ``(n,)``.
        ends: ``(n,)`` rows up to which they go.
        passed: ``(n,)`` discount of what comes after them.
    """

    rows: Int[Tensor, " n"]
    values: Float[Tensor, " n"]
    ends: Int[Tensor, " n"]
    passed: Float[Tensor, " n"]


def sums_of(
    episodes: LatentEpisodes, costs: Float[Tensor, " rows"], *, discount: float, steps: int
) -> Sums:
    """Discounted costs of as many model steps, or of as many as there are until the recording ends.

    Args:
        episodes: the recordings.
        costs: of the model step that begins at each row.
        discount: of each model step for the next.
        steps: how many.

    Raises:
        ForethoughtError: no episode is as long as a model step.
    """
    rows, last = episodes.starts()
    values, passed, ends = torch.zeros(len(rows)), torch.ones(len(rows)), rows
    for _ in range(steps):
        goes_on = ends + episodes.block <= last
        values = values + torch.where(goes_on, passed * costs[ends], 0.0)
        passed = torch.where(goes_on, passed * discount, passed)
        ends = torch.where(goes_on, ends + episodes.block, ends)
    return Sums(rows=rows, values=values, ends=ends, passed=passed)


class FearStage(Stage):
    """Trains a fear on frozen latents.

    Args:
        config: how.
        fear: what is trained.
        target: a copy of it that follows slowly.
        episodes: the latents.
        costs: ``(rows,)`` of the model step that begins at each row.
    """

    name = "fear"
    label = "fear"

    def __init__(
        self,
        config: FearTrainingConfig,
        fear: Fear,
        target: nn.Module,
        episodes: LatentEpisodes,
        costs: Float[Tensor, " rows"],
    ) -> None:
        self.config, self.optimiser = config, config.optimiser
        self.fear, self.target, self.episodes = fear, target, episodes
        discount = config.fear.discount
        self._sums = sums_of(episodes, costs, discount=discount, steps=config.steps)

    def begin(self) -> None:
        """Takes the units of the data; the copy begins as the fear does."""
        fear, sums = self.fear, self._sums
        device = fear.unit.device
        fear.take_units(self.episodes.latents[sums.rows].to(device), sums.values.to(device))
        self.target.load_state_dict(fear.state_dict())

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.fear.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        sums, size = self._sums, self.optimiser.batch_size
        pick = torch.randint(len(sums.rows), (size,), generator=generator)
        device = self.fear.unit.device
        now = self.episodes.latents[sums.rows[pick]].to(device)
        then = self.episodes.latents[sums.ends[pick]].to(device)
        came, passed = sums.values[pick].to(device), sums.passed[pick].to(device)
        with torch.no_grad():
            mean_then, quantiles_then = self.target(then)
            expected = came + passed * mean_then
            futures = came[:, None] + passed[:, None] * quantiles_then
        mean, quantiles = self.fear(now)
        squared = ((mean - expected) / self.fear.unit).square().mean()
        pinball = pinball_loss(quantiles / self.fear.unit, futures / self.fear.unit)
        return squared + pinball, {
            "squared": squared.detach(),
            "pinball": pinball.detach(),
            "mean": mean.detach().mean(),
        }

    @torch.no_grad()
    def after_step(self) -> None:
        """Moves the copy towards the fear."""
        for slow, fast in zip(self.target.parameters(), self.fear.parameters(), strict=True):
            slow.lerp_(fast, self.config.target_rate)


def pinball_loss(
    quantiles: Float[Tensor, "b q"], samples: Float[Tensor, "b s"]
) -> Float[Tensor, ""]:
    """Least where evenly spaced quantiles are those of the samples (Koenker and Bassett, 1978)."""
    count = quantiles.shape[1]
    levels = (torch.arange(count, device=quantiles.device) + 0.5) / count
    short = samples[:, None] - quantiles[..., None]
    weights = torch.where(short > 0, levels[:, None], 1 - levels[:, None])
    return (weights * short.abs()).mean()


def train_fear(
    model: Model,
    data: Dataset,
    out: Path | str,
    *,
    name: str,
    guardrails: Sequence[Guardrail] = (),
    cost: Cost | CostTerm | None = None,
    config: FearTrainingConfig | None = None,
    resume: bool = False,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> Fear:
    """Learns what recorded states lead to in cost by a task, and leaves it beside the model.

    All episodes that the model was trained on are trained on; by those that it never saw the fear
    is measured. Killed at any moment and called again with ``resume``, it ends with the same
    weights as a training that was never interrupted.

    Args:
        model: whose latents; as it was loaded from ``out``.
        data: the dataset that it was trained on, or another one.
        out: folder of the model's run.
        name: what the fear goes by.
        guardrails: what costs one where it is violated, by the quantities as recorded.
        cost: terms that judge latents.
        config: how.
        resume: continue the training of this name; start it if there is none.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: the folder holds another model, or a fear of that name; the data lack what
            is needed; nothing costs anything, or less than nothing; before any training.
    """
    config, out = config or FearTrainingConfig(), Path(out)
    _check(model, out, name)
    task = Relabelling.of(guardrails, cost, depth=config.depth)
    weights, description = fear_paths(out, name)
    folder = weights.with_suffix("")
    claim = partial(claim_folder, folder, {"fear": config, "about": task.words()}, data)
    if folder.exists():
        claim(resume=resume)
    if description.exists():
        return load_fear(out, name)
    train_ids, held_out_ids = _split(model, data, config)
    episodes, costs = _relabelled(model, data, train_ids, task, out)
    held_out = _relabelled(model, data, held_out_ids, task, out)
    # Only now, so that a task that was refused leaves the name free.
    claim(resume=True)
    learner = _learner(model, config, name)
    loop = Loop(
        config=LoopConfig(seed=config.seed, visible=visible, checkpoint_s=checkpoint_s),
        learner=learner,
        folder=folder / "checkpoints",
        metrics=JSONLines(folder / METRICS),
    )
    progress = loop.resume()
    stage = FearStage(config, learner.fear, learner.target, episodes, costs)
    loop.run(stage, progress)
    fear = learner.fear.requires_grad_(False).eval()
    report = fear_report(fear, *held_out, seed=config.seed)
    _finish(fear, config, task, out, report)
    return fear


@torch.no_grad()
def fear_report(
    fear: Fear, episodes: LatentEpisodes, costs: Float[Tensor, " rows"], *, seed: int = 0
) -> FearReport:
    """Holds a fear against what came in episodes that it was not trained on.

    Only states count from which at least half of the weight was recorded, where there are any.

    Args:
        fear: the fear.
        episodes: the recordings.
        costs: of the model step that begins at each row.
        seed: of the draw of what comes after a recording.
    """
    longest = int(episodes.offsets.diff().max()) // episodes.block
    sums = sums_of(episodes, costs, discount=fear.config.discount, steps=longest)
    known = sums.passed <= 0.5 if bool((sums.passed <= 0.5).any()) else sums.passed <= 1
    rows, passed = sums.rows[known], sums.passed[known]
    mean, quantiles = _foretold(fear, episodes.latents[rows])
    _, later = _foretold(fear, episodes.latents[sums.ends[known]])
    generator = step_generator(seed, "fear report", 0)
    drawn = torch.randint(later.shape[1], (len(later), 1), generator=generator)
    came = sums.values[known] + passed * later.gather(1, drawn)[:, 0]
    above = (came > at_level(quantiles, fear.config.level)).double()
    _, episode = torch.unique(episodes.first[rows], return_inverse=True)
    shares = torch.bincount(episode, weights=above) / torch.bincount(episode)
    varies = bool(came.max() > came.min()) and bool(mean.max() > mean.min())
    unexplained = (came - mean).square().mean() / came.var(correction=0)
    return FearReport(
        costly=float(costs[sums.rows].mean()),
        above=bootstrap_mean(shares.numpy()),
        level=fear.config.level,
        explained=float(1 - unexplained) if varies else None,
        rank_correlation=rank_correlation(mean.numpy(), came.numpy()) if varies else None,
        own_share=float(passed.mean()),
        states=len(rows),
    )


def _foretold(
    fear: Fear, latents: Float[Tensor, "n k d"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n q"]]:
    """Means and quantiles of many latents, a few at a time."""
    parts = [fear(some.to(fear.unit.device)) for some in latents.split(CHUNK)]
    return torch.cat([m.cpu() for m, _ in parts]), torch.cat([q.cpu() for _, q in parts])


# ---------------------------------------------------------------------------- preparation


class _Learner(nn.Module):
    """A fear, and the copy that follows it."""

    def __init__(self, fear: Fear) -> None:
        super().__init__()
        self.fear, self.target = fear, target_of(fear)


def _learner(model: Model, config: FearTrainingConfig, name: str) -> _Learner:
    tokens, width = model.world_model.num_tokens, model.world_model.width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return _Learner(config.fear.build(tokens, width, name=name)).to(model.device)


def _check(model: Model, out: Path, name: str) -> None:
    """Refuses names that are no file names, and folders of other models."""
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        raise ForethoughtError(
            f"a fear cannot be called {name!r}; use letters, digits, _ and -, such as 'zone'."
        )
    try:
        kept = load_file(out / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ForethoughtError(
            f"{out}: a fear lies beside the model that it is trained for, and there is none "
            f"({error}). Give the folder of its run, or save it there with save_pretrained."
        ) from error
    state = model.state_dict()
    if state.keys() != kept.keys() or any(
        not torch.equal(kept[key], value.cpu()) for key, value in state.items()
    ):
        raise ForethoughtError(
            f"{out}: the model in this folder is another one than was given. Give the folder that "
            "it was loaded from."
        )


def _split(
    model: Model, data: Dataset, config: FearTrainingConfig
) -> tuple[Sequence[int], Sequence[int]]:
    """Episodes to train on, and episodes that neither the model nor the fear sees."""
    if data.path.name != model.notes.get("data"):
        return data.split(held_out=config.held_out, seed=config.seed)
    held_out = list(model.notes["held_out_episodes"])
    return sorted(set(range(data.num_episodes)) - set(held_out)), held_out


def _relabelled(
    model: Model, data: Dataset, ids: Sequence[int], task: Relabelling, cache: Path
) -> tuple[LatentEpisodes, Float[Tensor, " rows"]]:
    """Episodes as latents, and what their model steps would have cost."""
    key = probe_key(model) if task.quantities(model) else None
    check_recorded(model, data, key)
    keys = [*model.world_model.perception.keys]
    keys += [key] if key and key not in keys else []
    arrays = data.load(ids, keys=keys, image_size=model.image_size, cache=cache)
    episodes = LatentEpisodes.of(model.world_model, arrays)
    recorded = arrays.observation[key] if key else None
    return episodes, task.costs(model, arrays, episodes, recorded)


def _finish(
    fear: Fear, config: FearTrainingConfig, task: Relabelling, out: Path, report: FearReport
) -> None:
    """Leaves the weights, and the description last, as the mark of a whole fear."""
    weights, description = fear_paths(out, fear.name)
    write_safely(weights, save({k: v.cpu().contiguous() for k, v in fear.state_dict().items()}))
    content = describe(
        fear,
        to_json(config.fear),
        about=task.words(),
        weights=out / WEIGHTS,
        report={**asdict(report), "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")},
    )
    write_safely(description, json.dumps(content, indent=2).encode())
