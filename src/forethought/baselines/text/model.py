"""A transformer over bytes as a model of text: it completes, embeds, is saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from forethought.baselines.text.tokens import END, PAD, VOCABULARY, stream_of, tokenise, untokenise
from forethought.baselines.transformer import TokenTransformerConfig
from forethought.config import from_json, to_json
from forethought.model import CONFIG, WEIGHTS, write_safely
from forethought.types import ForethoughtError

FORMAT = 1
WINDOWS_AT_ONCE = 32
"""Pieces of text that are read together."""


class TextModel(nn.Module):
    """A transformer that reads and, where it is causal, writes text.

    Args:
        config: of the transformer; its vocabulary is :data:`VOCABULARY`.
    """

    def __init__(self, config: TokenTransformerConfig) -> None:
        super().__init__()
        if config.vocabulary != VOCABULARY:
            raise ForethoughtError(
                f"text has a vocabulary of {VOCABULARY} tokens, the transformer one of "
                f"{config.vocabulary}; build it with vocabulary=text.VOCABULARY."
            )
        self.config = config
        self.transformer = config.build()

    def check_causal(self, causal: bool) -> None:
        """Refuses to predict what this model is not made for.

        Args:
            causal: whether the next byte is to be predicted, or masked ones.

        Raises:
            ForethoughtError: the transformer is of the other kind.
        """
        if self.config.causal != causal:
            raise ForethoughtError(
                f"predicting {'the next byte' if causal else 'masked bytes'} needs a transformer "
                f"built with causal={causal}; this one has causal={not causal}."
            )

    @torch.no_grad()
    def complete(
        self,
        prompt: str,
        num_bytes: int,
        *,
        generator: torch.Generator | None,
        temperature: float = 1.0,
    ) -> str:
        """How a text goes on, until it ends or ``num_bytes`` are written.

        Args:
            prompt: how it begins; may be empty.
            num_bytes: most to write.
            generator: draws each byte; None takes the likeliest.
            temperature: below one, likelier bytes are drawn more often than predicted.

        Raises:
            ForethoughtError: the model is not causal.
        """
        start = stream_of([prompt])[None, :-1].to(self.transformer.device)
        written = self.transformer.generate(
            start, num_bytes, generator=generator, temperature=temperature
        )[0]
        ends = (written == END).nonzero().flatten().tolist()
        return untokenise(written[: ends[0]] if ends else written)

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Float[Tensor, "n depth_times_d"]:
        """One vector per text: the streams after all blocks, side by side, as means over its bytes.

        A text longer than the context is read in pieces. Several layers describe a text better
        than the last one alone (Devlin et al., 2019, section 5.3).

        Raises:
            ForethoughtError: a text is empty.
        """
        pieces, owners = [], []
        for number, text in enumerate(texts):
            if not text:
                raise ForethoughtError(f"text {number} is empty; only bytes can be embedded.")
            cut = tokenise(text).split(self.config.context)
            pieces.extend(cut)
            owners.extend([number] * len(cut))
        vectors = torch.zeros(len(texts), self.config.depth * self.config.width)
        lengths = torch.zeros(len(texts))
        for some in torch.arange(len(pieces)).split(WINDOWS_AT_ONCE):
            owner = torch.tensor([owners[i] for i in some])
            sums, counts = self._sums([pieces[i] for i in some])
            vectors.index_add_(0, owner, sums)
            lengths.index_add_(0, owner, counts)
        return vectors / lengths[:, None]

    def _sums(self, pieces: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Streams added up over each piece, and its length."""
        tokens = nn.utils.rnn.pad_sequence(list(pieces), batch_first=True, padding_value=PAD)
        present = (tokens != PAD).to(self.transformer.device)
        streams = self.transformer.streams(tokens.to(present.device), present).flatten(2)
        return (streams * present[..., None]).sum(1).cpu(), present.sum(1).float().cpu()

    def save(self, folder: Path) -> None:
        """Leaves weights and configuration in a folder; the configuration last."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        write_safely(folder / WEIGHTS, save(state))
        content = {"format": FORMAT, "text_model": to_json(self.config)}
        write_safely(folder / CONFIG, json.dumps(content, indent=2).encode())

    @classmethod
    def load(cls, folder: Path) -> TextModel:
        """The model that was saved to a folder.

        Raises:
            ForethoughtError: there is none, or it is damaged or of another version.
        """
        try:
            content = json.loads((folder / CONFIG).read_text())
            if content.get("format") != FORMAT or "text_model" not in content:
                raise ForethoughtError(
                    f"{folder / CONFIG}: no text model of format {FORMAT}. Give the folder that a "
                    "text model was saved to, or train again."
                )
            model = cls(from_json(content["text_model"], where=str(folder / CONFIG)))
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, json.JSONDecodeError, SafetensorError, RuntimeError) as error:
            raise ForethoughtError(
                f"{folder}: no whole text model here ({error}). Give the folder that one was saved "
                "to, or train again."
            ) from error
        return model.eval()
