"""Rollouts replayed as CUDA graphs: the launches of all steps, recorded once for each shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.world_model.predictors import Predictor

Function = Callable[[Tensor, Tensor], Tensor]
"""An answer to latents and actions."""

Capture = Callable[[Function, Tensor, Tensor], Callable[[], Tensor]]
"""What records a call on two tensors: replaying it computes the answer to what they hold then."""

WARM_UPS = 3
"""Calls before the recording, in which libraries choose their kernels and take their memory."""
SHAPES = 8
"""Recordings that are kept; shapes beyond them are computed without."""


class GraphedPredictor(Predictor):
    """A predictor for acting whose rollouts are recorded, one recording for each shape.

    Args:
        predictor: what is recorded. Its weights stay where they are.
        capture: what records; see :data:`Capture`.
    """

    def __init__(self, predictor: Predictor, capture: Capture | None = None) -> None:
        super().__init__()
        self.window, self.num_members = predictor.window, predictor.num_members
        self.numbers_at_once = predictor.numbers_at_once
        self.predictor, self.capture = predictor, capture or cuda_graph
        self._recorded: dict[Sequence[object], _Recording] = {}

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`."""
        return self._replayed("forward", self.predictor, latents, actions)

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`."""
        return self._replayed("unroll", self.predictor.unroll, latents, actions)

    @torch.no_grad()
    def _replayed(self, name: str, function: Function, latents: Tensor, actions: Tensor) -> Tensor:
        key = (name, latents.shape, actions.shape, latents.dtype, actions.dtype)
        if key not in self._recorded:
            if len(self._recorded) == SHAPES:
                return function(latents, actions)
            self._recorded[key] = _Recording(function, latents, actions, self.capture)
        return self._recorded[key](latents, actions)


class _Recording:
    """One call, and the tensors that it reads and writes whenever it is replayed."""

    def __init__(
        self, function: Function, latents: Tensor, actions: Tensor, capture: Capture
    ) -> None:
        self.latents, self.actions = latents.clone(), actions.clone()
        self.replay = capture(function, self.latents, self.actions)

    def __call__(self, latents: Tensor, actions: Tensor) -> Tensor:
        self.latents.copy_(latents)
        self.actions.copy_(actions)
        return self.replay().clone()


def cuda_graph(function: Function, latents: Tensor, actions: Tensor) -> Callable[[], Tensor]:
    """Records a call as a CUDA graph; see :data:`Capture`."""
    beside = torch.cuda.Stream(latents.device)
    beside.wait_stream(torch.cuda.current_stream(latents.device))
    with torch.cuda.stream(beside):
        for _ in range(WARM_UPS):
            function(latents, actions)
    torch.cuda.current_stream(latents.device).wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = function(latents, actions)

    def replay() -> Tensor:
        graph.replay()
        return answer

    return replay
