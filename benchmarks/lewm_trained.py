"""A LeWorldModel whose predictor, of the published size, knows its way in two rooms.

    FORETHOUGHT_PEER=FOLDER python benchmarks/lewm_trained.py

Built of the peer's own modules and saved as the peer saves them, so that both libraries can plan
with the same weights. Planning is what is measured with it, and a plan spends 3 % of its time in
the encoder, whose training takes hours of a CPU: it is left as it is. What the predictor learns to
foresee are states as the recipe's small model sees them and its critic embeds them, so that the
distance of two counts steps.
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
from forethought.world_model.lewm import import_lewm
from forethought.world_model.world_model import WorldModel
from harness import WORK
from lewm_fixture import configuration, construct, import_peer
from lewm_import import PUBLISHED, WIDTH

STEPS = 1500
CLIPS = 24
HORIZON = 5
BLOCK = 5
SMALL = configuration(
    encoder={"patch_size": 16, "image_size": 64},
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
    teacher = Teacher.of(model, generator)
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
        "std": normaliser.scale[:width].tolist(),
    }
    done.write_text(json.dumps(actions) + "\n")
    return folder


def teach(student: Any, teacher: Teacher, recorded: Dataset, generator: torch.Generator) -> None:
    """Foreseeing; what normalises by batch or drops out is left aside."""
    keys = list(teacher.model.signature.cameras)
    clips = WindowSampler(
        recorded.load(keys=keys), WindowConfig(length=HORIZON + 1, action_block=BLOCK)
    )
    learned = [*student.predictor.parameters(), *student.action_encoder.parameters()]
    learned += student.pred_proj.parameters()
    optimiser = torch.optim.AdamW(learned, lr=1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-3, total_steps=STEPS)
    for step in range(STEPS):
        clip = clips.sample(CLIPS, generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            error = foreseeing(student, teacher, clip)
        optimiser.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"{step:5d} of {STEPS}: squared error {error.item():.3f}")


def foreseeing(student: Any, teacher: Teacher, clip: Windows) -> Float[Tensor, ""]:
    """Squared distances of what is foreseen from what the teacher sees then."""
    targets = teacher.sees(dict(clip.observation))
    told = student.action_encoder(teacher.model.world_model.normalise(clip.actions))
    states = [targets[:, 0]]
    window = student.predictor.num_frames
    for step in range(1, HORIZON + 1):
        first = max(0, step - window)
        known = torch.stack(states[first:], dim=1)
        states.append(student.predict(known, told[:, first:step])[:, -1])
    ahead = torch.stack(states[1:], dim=1)
    return (ahead - targets[:, 1:]).square().sum(-1).mean()


def known(folder: Path, seed: int = 0) -> tuple[WorldModel, Teacher]:
    """The checkpoint as this library reads it, and what sees for it; made where it is missing."""
    taught(folder, seed)
    model = Model.from_pretrained(folder / "teacher")
    actions = json.loads((folder / "actions.json").read_text())
    world_model = import_lewm(
        folder,
        action=model.signature.action,
        action_mean=actions["mean"],
        action_std=actions["std"],
        rate_hz=model.signature.rate_hz,
    )
    return world_model, Teacher.of(model, torch.Generator().manual_seed(seed))


if __name__ == "__main__":
    print(taught(WORK / "lewm_trained"))
