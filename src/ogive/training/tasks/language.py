"""Language: recurrent networks that tell which word of a text comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import Metric
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks.plain import Plain
from ogive.networks.plain_words import of_words
from ogive.networks.recurrent import LanguageModel, build_language_model, macs_a_word
from ogive.spaces.darts_rnn import Genotype
from ogive.training.distributed import Ranks
from ogive.training.language import LanguageTraining, perplexity
from ogive.training.language_recipe import DROPOUTS, LanguageRecipe, language_bytes
from ogive.training.lossy import Lost, Run
from ogive.training.pieces import Perplexity, Piece, PieceRecipe, Pieces
from ogive.training.task import Part, Size, refuse_other_space
from ogive.training.text import Text, columns

__all__ = ["Language"]


class Language:
    """A text, of which models learn to predict each word from those before it.

    Measures ``val_ppl`` (the lowest perplexity of an epoch on the validation text) and ``test_ppl`` of the same
    weights, for the record. The channels of a size are the width of all states.
    """

    name = "language"
    metrics: tuple[Metric, ...] = (
        Metric("val_ppl", "", "smaller", "validation perplexity"),
        Metric("test_ppl", "", "smaller", "test perplexity"),
    )
    recipe = LanguageRecipe

    def __init__(self, data: Text) -> None:
        self.data = data

    @property
    def digest(self) -> str:
        """SHA-256 of the vocabulary and the words."""
        return self.data.digest

    def fitted(self, recipe: LanguageRecipe, size: Size, space: SearchSpace | None) -> LanguageRecipe:
        """The recipe with the width of the size, if it has one."""
        refuse_other_space(self, space)
        if size.cells is not None or size.auxiliary:
            raise SpecError("The size of a language model is its channels: leave out cells and auxiliary.")
        return recipe if size.channels is None else replace(recipe, width=size.channels)

    def network(
        self, arch: Architecture | Genotype, size: Size, recipe: LanguageRecipe, *, seed: int | None
    ) -> LanguageModel:
        """The language model around a cell."""
        dropouts = {name: getattr(recipe, name) for name in DROPOUTS}
        options: dict[str, Any] = {"words": len(self.data.vocabulary), "width": recipe.width, **dropouts}
        if seed is not None:
            return build_language_model(arch, seed=seed, **options)
        with torch.device("meta"):
            return build_language_model(arch, seed=None, **options)

    def counted(self, network: nn.Module) -> dict[str, float]:
        """Parameters, and multiply-accumulates of a word."""
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return {"params": float(parameters), "macs": float(macs_a_word(cast(LanguageModel, network)))}

    def memory(self, outline: nn.Module, recipe: LanguageRecipe) -> float:
        """As `language_bytes`."""
        model = cast(LanguageModel, outline)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        return language_bytes(recipe, words=model.words, parameters=parameters, nodes=len(model.cell.entries))

    def training(
        self, network: nn.Module, recipe: LanguageRecipe, *, seed: Seed, device: torch.device
    ) -> LanguageTraining:
        """A training on the training text, which ends with the weights that are best on the validation text."""
        return LanguageTraining(network, self.data, recipe, seed=seed, device=device)

    # -- for supernets -----------------------------------------------------------------------------------------------

    @property
    def score(self) -> Perplexity:
        """The perplexity of what is trained on."""
        return Perplexity()

    def halved(self, seed: Seed) -> tuple[Language, Language]:
        """The training text and, as one to train the architecture on, the validation text."""
        return self, Language(replace(self.data, train=self.data.val))

    def few(self, steps: int, recipe: PieceRecipe) -> Language:
        """The beginning of the training text."""
        words = recipe.batch_size * (steps * recipe.bptt + 2)
        return Language(replace(self.data, train=self.data.train[:words]))

    def batches(self, recipe: PieceRecipe, device: torch.device, dtype: torch.dtype, ranks: Ranks) -> Pieces:
        """The training text; every process reads all of it."""
        return Pieces(self.data.train, recipe, device)

    def lost(self, run: Run, batch: Piece, recipe: PieceRecipe, *, state: Tensor | None, number: int) -> Lost:
        """The mean loss a word of a network of words (T, B) and of the output before them; `number` draws dropout."""
        device = batch.words.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(number)  # noqa: TID251 - forked above
            log_probabilities, outputs = run((batch.words, state))
        loss = F.nll_loss(log_probabilities.flatten(0, 1), batch.following.flatten())
        extra = None
        if recipe.slowness and len(outputs) > 1:
            extra = recipe.slowness * (outputs[1:] - outputs[:-1]).pow(2).mean()
        return Lost(loss, loss.detach().double(), extra, outputs[-1:].detach())

    # -- what was trained --------------------------------------------------------------------------------------------

    def measured(self, network: nn.Module, part: Part, recipe: LanguageRecipe, *, seed: Seed) -> dict[str, float]:
        """Perplexity on a part."""
        batch = {"val": recipe.eval_batch, "test": recipe.test_batch}[part]
        text = {"val": self.data.val, "test": self.data.test}[part]
        return {f"{part}_ppl": perplexity(network, text, batch=batch, bptt=recipe.bptt)}

    def joined(self) -> Language:
        """The same: the validation text says when to average the weights, and is not trained on."""
        return self

    def described(self, network: nn.Module, recipe: LanguageRecipe, measured: Mapping[str, float]) -> dict[str, Any]:
        """The number of test words, parameters and multiply-accumulates."""
        words = (len(self.data.test) // recipe.test_batch - 1) * recipe.test_batch
        reached = f"perplexity {measured['test_ppl']:.2f} on {words} test words"
        return {
            "test_words": words,
            "reached": reached,
            **{name: int(value) for name, value in self.counted(network).items()},
        }

    def plain(self, network: nn.Module) -> Plain:
        """With the vocabulary, and the beginning of the test text."""
        words = columns(self.data.test, 2)[:50]
        return of_words(cast(LanguageModel, network), vocabulary=self.data.vocabulary, words=words)
