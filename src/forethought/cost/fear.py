"""Fear: the cost that is still to come, expected and at worst, as a function of the present.

A critic beside temporal distance (LeCun, 2022, section 3.2): from a latent, the discounted sum of
the costs of all later model steps, as they came where the logs were recorded. It is a distribution,
told by its mean and by evenly spaced quantiles (Dabney et al., 2018, QR-DQN). The fear of the
present is ``c1 + discount * c2 + discount**2 * c3 ...``, where ``ci`` is the cost of the i-th model
step from now on. How it is learned says :mod:`forethought.learning.fear`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from forethought.config import from_json, register
from forethought.perception.encoders import mlp
from forethought.types import ForethoughtError

FORMAT = 1
FEARS = "fears"
"""Where a run's folder holds its fears."""
SMALLEST = 1e-6


@register
@dataclass(frozen=True, kw_only=True)
class FearConfig:
    """What is foretold of future cost, and by what network.

    Attributes:
        hidden: width of each hidden layer.
        num_quantiles: of the distribution; the i-th stands for a level of ``(i - 0.5) / n``.
        level: of the upper quantile: the share of futures that cost less.
        discount: of the cost of a model step, for each model step that lies before it.

    Raises:
        ForethoughtError: a discount that lets sums grow for ever, or a level that lies beyond the
            outermost quantiles.
    """

    hidden: tuple[int, ...] = (128, 128)
    num_quantiles: int = 50
    level: float = 0.95
    discount: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.discount < 1:
            raise ForethoughtError(
                f"a discount of {self.discount:g} for future cost; expected 0 or more and less "
                "than 1, such as 0.9, which looks about ten model steps ahead."
            )
        least = 0.5 / max(1, self.num_quantiles)
        # Levels such as 0.95 are no binary fractions.
        if not least - SMALLEST <= self.level <= 1 - least + SMALLEST:
            raise ForethoughtError(
                f"the level {self.level:g} lies beyond the outermost of {self.num_quantiles} "
                f"quantiles, which are {least:g} and {1 - least:g}; raise num_quantiles."
            )

    def build(self, tokens: int, width: int, *, name: str) -> Fear:
        """An untrained fear about latents ``(..., tokens, width)``."""
        return Fear(self, tokens, width, name=name)


class Fear(nn.Module):
    """Mean and quantiles of the discounted future cost; zero or more, whatever the weights.

    Quantiles are sorted, so they never cross. The mean is learned by itself and may lie above the
    upper quantile, and rightly so: of a cost that comes to one in a hundred, the mean is above zero
    and the 0.95-quantile is not.

    Args:
        config: see :class:`FearConfig`.
        tokens: k.
        width: d.
        name: what it is a fear of.
    """

    centre: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, config: FearConfig, tokens: int, width: int, *, name: str) -> None:
        super().__init__()
        self.config, self.name = config, name
        self.tokens, self.width = tokens, width
        self.layers = mlp(tokens * width, config.hidden, 1 + config.num_quantiles)
        self.register_buffer("centre", torch.zeros(tokens * width))
        self.register_buffer("spread", torch.ones(tokens * width))
        self.register_buffer("unit", torch.ones(()))

    @torch.no_grad()
    def take_units(self, latents: Float[Tensor, "n k d"], returns: Float[Tensor, " n"]) -> None:
        """Takes the usual size of latents and of discounted costs for the units it works in."""
        flat = latents.flatten(1)
        self.centre.copy_(flat.mean(0))
        # What never varies keeps the unit it has: it would come out huge once it does.
        spread, size = flat.std(0, correction=0), returns.square().mean().sqrt()
        self.spread.copy_(torch.where(spread > SMALLEST, spread, 1.0))
        self.unit.copy_(torch.where(size > SMALLEST, size, 1.0))

    def forward(
        self, latents: Float[Tensor, "*batch k d"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch q"]]:
        """Mean and quantiles, lowest first, in the unit of the cost.

        Raises:
            ForethoughtError: latents of another model.
        """
        if latents.shape[-2:] != (self.tokens, self.width):
            raise ForethoughtError(
                f"the fear of {self.name} was learned on latents of {self.tokens} tokens of width "
                f"{self.width}, these have {tuple(latents.shape[-2:])}. Use it with the model that "
                "it was trained for, or train it again: forethought.learning.train_fear."
            )
        outputs = self.layers((latents.flatten(-2) - self.centre) / self.spread)
        values = self.unit * nn.functional.softplus(outputs)
        return values[..., 0], values[..., 1:].sort(-1).values

    def mean(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch"]:
        """What the future is expected to cost."""
        return self(latents)[0]

    def upper(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch"]:
        """What the future costs less than with the probability of the level."""
        return at_level(self(latents)[1], self.config.level)


def at_level(quantiles: Float[Tensor, "*batch q"], level: float) -> Float[Tensor, "*batch"]:
    """One quantile, read between the two evenly spaced ones that are nearest to it."""
    count = quantiles.shape[-1]
    place = min(max(level * count - 0.5, 0.0), count - 1.0)
    low = int(place)
    high = min(low + 1, count - 1)
    return torch.lerp(quantiles[..., low], quantiles[..., high], place - low)


# ------------------------------------------------------------------------- on disk


def fear_paths(run: Path, name: str) -> tuple[Path, Path]:
    """Weights and description of a fear in the folder of a run."""
    return run / FEARS / f"{name}.safetensors", run / FEARS / f"{name}.json"


def fears_of(run: Path | str) -> tuple[str, ...]:
    """Names of the fears that a run holds."""
    return tuple(sorted(path.stem for path in (Path(run) / FEARS).glob("*.json")))


def describe(
    fear: Fear, config: Any, *, about: Sequence[str], weights: Path, report: Mapping[str, Any]
) -> dict[str, Any]:
    """What the description of a fear holds.

    Args:
        fear: the fear.
        config: its :class:`FearConfig` in JSON types.
        about: what the cost was, in words.
        weights: of the model whose latents it was learned on.
        report: what was measured of it.
    """
    return {
        "format": FORMAT,
        "fear": config,
        "tokens": fear.tokens,
        "width": fear.width,
        "about": list(about),
        "model": mark_of(weights),
        "report": dict(report),
    }


def mark_of(weights: Path) -> str:
    """By what the weights of a model are known again."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_fear(run: Path | str, name: str, *, weights: str = "model.safetensors") -> Fear:
    """A fear from the folder of its run.

    Args:
        run: the folder.
        name: what it is a fear of.
        weights: name of the model's weights in the folder.

    Raises:
        ForethoughtError: the run has no such fear, it is damaged, of another version, or the model
            beside it is not the one that it was trained for.
    """
    run = Path(run)
    state_path, path = fear_paths(run, name)
    if not path.is_file():
        raise ForethoughtError(
            f"{run}: no fear of {name!r} here; there are {list(fears_of(run))}. Train it with "
            "forethought.learning.train_fear."
        )
    try:
        content = json.loads(path.read_text())
        state = load_file(state_path)
        found = content["format"]
        if found != FORMAT:
            raise ForethoughtError(
                f"{path}: found fear format {found!r}, this version reads {FORMAT}. Train it "
                "again, or install the version of forethought that wrote it."
            )
        config = from_json(content["fear"], where=str(path))
        fear = Fear(config, content["tokens"], content["width"], name=name)
        fear.load_state_dict(state)
    except ForethoughtError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ForethoughtError(
            f"{path}: the fear cannot be read ({error}). Copy both its files again, or train it "
            "again into a folder without them."
        ) from error
    if (run / weights).is_file() and mark_of(run / weights) != content["model"]:
        raise ForethoughtError(
            f"{path}: it was trained for another model than the one in {run}. Train it again with "
            "forethought.learning.train_fear."
        )
    return fear.requires_grad_(False).eval()
