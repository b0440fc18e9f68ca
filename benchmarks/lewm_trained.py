"""A LeWorldModel, its predictor of the published size, that knows its way in two rooms.

    FORETHOUGHT_PEER=FOLDER python benchmarks/lewm_trained.py

Built of the peer's own modules and saved as the peer saves them, so that both libraries plan with
the same weights. A vision transformer needs hours of a CPU to learn by itself, and planning is what
is measured with it, so it is taught: the recipe's small model has a critic that embeds places such
that their distance counts steps, and the transformer learns to see that embedding in pictures and
to foresee it. Its encoder has 4 layers in place of 12 and sees 64 pixels in place of 224; a plan
spends 3 % of its time there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from forethought import data, recipes, worlds
from forethought.cost.critic import MetricDistance
from forethought.data import Dataset, WindowConfig, WindowSampler
from forethought.model import Model
from forethought.types import Windows
from forethought.world_model.lewm import PIXEL_MEAN, PIXEL_STD
from harness import WORK
from lewm_fixture import configuration, construct, import_peer
from lewm_import import PUBLISHED, WIDTH

STEPS = 2500
CLIPS = 32
HORIZON = 5
BLOCK = 5
SMALL = configuration(
    encoder={"patch_size": 8, "image_size": 64, "num_hidden_layers": 4},
    predictor={k: v for k, v in PUBLISHED["predictor"].items() if k != "_target_"},
    action={"input_dim": 2 * BLOCK, "emb_dim": WIDTH},
    head={"input_dim": WIDTH, "output_dim": WIDTH, "hidden_dim": 2048},
)


@dataclass(frozen=True)
class Teacher:
    """Where things are, as the recipe's critic embeds them, turned into the student's width.

    Args:
        model: of the recipe.
        turn: ``(e, d)`` orthogonal, so that distances stay.
    """

    model: Model
    turn: Float[Tensor, "e d"]

    @classmethod
    def of(cls, model: Model, generator: torch.Generator) -> Teacher:
        """One for a model with a metric critic."""
        assert isinstance(model.critic, MetricDistance)
        drawn = torch.randn(WIDTH, model.critic.phi[-1].out_features, generator=generator)
        return cls(model, torch.linalg.qr(drawn).Q.T.contiguous())

    @torch.no_grad()
    def sees(self, observation: dict[str, Tensor]) -> Float[Tensor, "b t d"]:
        """Embeddings of the observations of clips."""
        assert isinstance(self.model.critic, MetricDistance)
        return self.model.critic.embed(self.model.world_model.encode(observation)) @ self.turn


def taught(folder: Path, seed: int = 0) -> Path:
    """A folder with the checkpoint and with ``actions.json``, the mean and deviation of actions."""
    done = folder / "actions.json"
    if done.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    recipe = recipes.get("two_rooms")
    assert recipe.recording is not None
    recorded = data.record(
        worlds.make("two_rooms", recipe.recording.num_worlds),
        folder / "data",
        num_episodes=recipe.recording.num_episodes,
        episode_length=recipe.recording.episode_length,
        resume=True,
    )
    model = recipes.train(
        recorded, recipe="two_rooms", out=folder / "teacher", seed=seed, resume=True
    )
    generator = torch.Generator().manual_seed(seed)
    teacher = Teacher.of(model.eval(), generator)
    torch.manual_seed(seed)
    student = construct(import_peer(), SMALL)
    teach(student.eval(), teacher, recorded, generator)
    (folder / "config.json").write_text(json.dumps(SMALL, indent=2) + "\n")
    save_file(
        {k: v.contiguous() for k, v in student.state_dict().items()}, folder / "weights.safetensors"
    )
    normaliser = model.world_model.action_normaliser
    width = model.signature.action.width
    actions = {
        "mean": normaliser.mean[:width].tolist(),
        "std": normaliser.std[:width].tolist(),
    }
    done.write_text(json.dumps(actions) + "\n")
    return folder


def teach(student: Any, teacher: Teacher, recorded: Dataset, generator: torch.Generator) -> None:
    """Seeing and foreseeing, side by side; neither normalises by batch nor drops out."""
    (camera,) = teacher.model.signature.cameras
    clips = WindowSampler(
        recorded.load(keys=[camera]), WindowConfig(length=HORIZON + 1, action_block=BLOCK)
    )
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-3, total_steps=STEPS)
    for step in range(STEPS):
        clip = clips.sample(CLIPS, generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seeing, foreseeing = errors(student, teacher, clip, camera)
        optimiser.zero_grad()
        (seeing + foreseeing).backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"{step:5d} seeing {seeing.item():.3f} foreseeing {foreseeing.item():.3f}")


def errors(
    student: Any, teacher: Teacher, clip: Windows, camera: str
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Squared distances from what the teacher sees: of the first and last pictures, and ahead."""
    targets = teacher.sees(dict(clip.observation))
    ends = clip.observation[camera][:, [0, -1], 0]
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    pixels = ((ends / 255 - mean) / std).permute(0, 1, 4, 2, 3)
    seen = student.encode({"pixels": pixels})["emb"]
    seeing = (seen - targets[:, [0, -1]]).square().sum(-1).mean()
    told = student.action_encoder(teacher.model.world_model.normalise(clip.actions))
    states = [targets[:, 0] + 0.1 * torch.randn_like(targets[:, 0])]
    window = student.predictor.num_frames
    for step in range(1, HORIZON + 1):
        first = max(0, step - window)
        known = torch.stack(states[first:], dim=1)
        states.append(student.predict(known, told[:, first:step])[:, -1])
    ahead = torch.stack(states[1:], dim=1)
    return seeing, (ahead - targets[:, 1:]).square().sum(-1).mean()


if __name__ == "__main__":
    print(taught(WORK / "lewm_trained"))
