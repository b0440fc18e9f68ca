"""The training loop: one for every stage, resumable to the bit."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.learning.checkpoint import (
    Progress,
    latest_checkpoint,
    load_learner,
    load_optimiser,
    read_progress,
    save_checkpoint,
    step_generator,
)
from forethought.learning.metrics import JSONLines, ProgressBar, Sink, progress_bar
from forethought.types import ForethoughtError


@register
@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with a warm-up and a cosine decay; all a function of the step.

    Attributes:
        num_steps: steps of the stage.
        batch_size: clips or pairs in a step.
        learning_rate: the highest.
        final_share: share of the learning rate that is left at the end.
        warmup_steps: steps until the highest is reached.
        weight_decay: decoupled weight decay.
        clip: largest norm of the gradient.
    """

    num_steps: int
    batch_size: int = 32
    learning_rate: float = 3e-3
    final_share: float = 0.05
    warmup_steps: int = 50
    weight_decay: float = 0.0
    clip: float = 1.0

    def scaled(self, share: float) -> OptimiserConfig:
        """So many times the steps, one at least; all else as it is."""
        return replace(self, num_steps=max(1, round(share * self.num_steps)))

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of one step."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        decay = 0.5 * (1 + math.cos(math.pi * step / max(1, self.num_steps)))
        return self.learning_rate * warm * (self.final_share + (1 - self.final_share) * decay)


class Stage(ABC):
    """One thing to train: its parameters, its loss, and what to watch."""

    name: str
    label: str
    optimiser: OptimiserConfig

    @abstractmethod
    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained."""

    @abstractmethod
    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """The loss of one step, and its parts by name."""

    def begin(self) -> None:  # noqa: B027
        """Called once before the first step, never on resuming; nothing by default."""

    def before_step(self, step: int) -> None:  # noqa: B027
        """Called before each step with its number, for what changes as training goes on; nothing by
        default."""

    def after_step(self) -> None:  # noqa: B027
        """Called after each update, e.g. to move a target network; nothing by default."""

    def monitor(self) -> Mapping[str, float]:
        """Measures on held-out data, taken now and then."""
        return {}

    @property
    def images_per_step(self) -> int:
        """Observations encoded in a step; 0 where none are."""
        return 0


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How the loop behaves around the steps; none of it changes the result.

    Attributes:
        seed: of the run.
        checkpoint_s: seconds between checkpoints.
        log_every: steps between rows of metrics.
        monitor_times: how often in a stage held-out measures are taken.
        visible: whether to show progress.
    """

    seed: int
    checkpoint_s: float = 15.0
    log_every: int = 20
    monitor_times: int = 12
    visible: bool = True


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Runs stages one after another.

    Attributes:
        config: see :class:`LoopConfig`.
        learner: everything that is trained in any stage.
        folder: where checkpoints are kept.
        metrics: the run's metrics file.
        sinks: where else metrics go.
        rates: share of the learning rate of parameters that learn at less than the whole of it.
    """

    config: LoopConfig
    learner: nn.Module
    folder: Path
    metrics: JSONLines
    sinks: Sequence[Sink] = ()
    rates: Mapping[nn.Parameter, float] = field(default_factory=dict)

    def resume(self) -> Progress:
        """Loads the newest checkpoint into the learner; the start where there is none."""
        checkpoint = latest_checkpoint(self.folder)
        if checkpoint is None:
            return Progress(stage="", step=0, done=(), seconds={})
        load_learner(checkpoint, self.learner)
        progress = read_progress(checkpoint)
        self.metrics.keep_until(progress.done, progress.stage, progress.step)
        return progress

    def run(self, stage: Stage, progress: Progress) -> Progress:
        """Trains one stage from where the run stands; skips it where it is done."""
        if stage.name in progress.done:
            return progress
        optimiser = torch.optim.AdamW(
            _groups(stage.parameters(), self.rates),
            lr=stage.optimiser.learning_rate,
            weight_decay=stage.optimiser.weight_decay,
        )
        if progress.stage == stage.name and progress.step:
            checkpoint = latest_checkpoint(self.folder)
            assert checkpoint is not None
            load_optimiser(checkpoint, optimiser)
        else:
            stage.begin()
            progress = replace(progress, stage=stage.name, step=0)
        total = stage.optimiser.num_steps
        with progress_bar(stage.label, total, visible=self.config.visible) as bar:
            progress = self._train(stage, optimiser, progress, bar)
        return progress

    def _train(
        self, stage: Stage, optimiser: torch.optim.Optimizer, progress: Progress, bar: ProgressBar
    ) -> Progress:
        total = stage.optimiser.num_steps
        monitor_every = max(1, total // self.config.monitor_times)
        clock = _Clock(progress.seconds.get(stage.name, 0.0))
        saved = time.monotonic()
        self.learner.train()
        for step in range(progress.step, total):
            parts = self._step(stage, optimiser, step)
            last = step + 1 == total
            if step % self.config.log_every == 0 or last:
                values = {name: float(value) for name, value in parts.items()}
                if step % monitor_every < self.config.log_every or last:
                    self._check_alive(stage, step)
                    self.learner.eval()
                    values |= stage.monitor()
                    self.learner.train()
                if stage.images_per_step:
                    done = (step + 1 - progress.step) * stage.images_per_step
                    values["images_per_second"] = done / max(1e-9, clock.since_start())
                for sink in (self.metrics, bar, *self.sinks):
                    sink.write(stage.name, step, values)
            bar.advance(step + 1)
            if time.monotonic() - saved > self.config.checkpoint_s and not last:
                at = replace(progress, step=step + 1, seconds=clock.added_to(progress, stage.name))
                save_checkpoint(self.folder, self.learner, optimiser, at)
                saved = time.monotonic()
        self.learner.eval()
        finished = Progress(
            stage="",
            step=0,
            done=(*progress.done, stage.name),
            seconds=clock.added_to(progress, stage.name),
        )
        save_checkpoint(self.folder, self.learner, optimiser, finished)
        return finished

    def _step(
        self, stage: Stage, optimiser: torch.optim.Optimizer, step: int
    ) -> Mapping[str, Tensor]:
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * stage.optimiser.learning_rate_at(step)
        generator = step_generator(self.config.seed, stage.name, step)
        stage.before_step(step)
        with torch.random.fork_rng(devices=[]):
            # Dropout knows only the global generator.
            torch.manual_seed(generator.initial_seed())
            loss, parts = stage.loss(generator)
        if not torch.isfinite(loss):
            raise self._diverged(stage, step, f"the loss is {float(loss.detach())}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(
            [p for group in optimiser.param_groups for p in group["params"]], stage.optimiser.clip
        )
        optimiser.step()
        stage.after_step()
        return {"loss": loss.detach(), **parts}

    def _check_alive(self, stage: Stage, step: int) -> None:
        if not all(torch.isfinite(parameter).all() for parameter in stage.parameters()):
            raise self._diverged(stage, step, "a weight is not finite")

    def _diverged(self, stage: Stage, step: int, symptom: str) -> ForethoughtError:
        return ForethoughtError(
            f"training diverged in stage {stage.name!r} at step {step}: {symptom}. The last "
            f"checkpoint in {self.folder} is from before; lower the learning rate, or check the "
            "data with `forethought data check`."
        )


def _groups(
    parameters: Iterable[nn.Parameter], rates: Mapping[nn.Parameter, float]
) -> list[dict[str, Any]]:
    """The optimiser's groups: parameters that learn at the same share of the learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(rates.get(parameter, 1.0), []).append(parameter)
    return [{"params": members, "rate": rate} for rate, members in groups.items()]


class _Clock:
    """Training time of a stage, carried over interruptions."""

    def __init__(self, before_s: float) -> None:
        self._before_s = before_s
        self._started = time.monotonic()

    def since_start(self) -> float:
        return time.monotonic() - self._started

    def added_to(self, progress: Progress, stage: str) -> dict[str, float]:
        return {**progress.seconds, stage: self._before_s + self.since_start()}
