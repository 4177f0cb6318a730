from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive import catalog
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.recurrent import LanguageModel
from ogive.spaces.darts_rnn import PUBLISHED
from ogive.training.language import (
    LanguageProgress,
    LanguageTraining,
    lengths,
    perplexity,
    stalls,
)
from ogive.training.language_recipe import PRESETS, LanguageRecipe
from ogive.training.loop import Diverged, drive
from ogive.training.text import Text, columns, encoded, load, vocabulary_of

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = 12


def tiny(**changes: Any) -> LanguageRecipe:
    return LanguageRecipe(**{**PRESETS["tiny"], **changes})


TINY = tiny(width=8, batch_size=4, bptt=10, epochs=3, eval_batch=2, dropout=0.2, dropout_hidden=0.1)


class Outcome(NamedTuple):
    history: tuple[Any, ...]
    val_ppl: float
    halted: bool


def train_language(
    network: nn.Module,
    text: Text,
    recipe: LanguageRecipe,
    *,
    seed: Seed,
    folder: Path | None = None,
    progress: Any = None,
) -> Outcome:
    training = LanguageTraining(network, text, recipe, seed=seed, device=torch.device("cpu"))
    measured = drive(training, folder=folder, tell=progress)
    return Outcome(tuple(training.history), measured["val_ppl"], training.halted)


def model(words: int = WORDS, width: int = 8, seed: int = 0, **dropouts: float) -> LanguageModel:
    chosen = (
        dict.fromkeys(("dropout", "dropout_hidden", "dropout_input", "dropout_embedding", "dropout_word"), 0.0)
        | dropouts
    )
    network = LanguageModel(*PUBLISHED["darts_v2"], words=words, width=width, **chosen)
    network.reset(torch.Generator().manual_seed(seed))
    return network


@pytest.fixture(scope="module")
def counting() -> Text:
    """A text in which every word but one is followed by the next one: there is something to be learnt."""
    rng = np.random.default_rng(0)

    def part(count: int) -> Tensor:
        jumps = np.where(rng.random(count) < 0.9, 1, rng.integers(0, WORDS, count))
        return torch.from_numpy(np.cumsum(jumps) % WORDS)

    return Text("counting", tuple(map(str, range(WORDS))), part(1200), part(200), part(200))


class Bigram(nn.Module):
    """The least network that the loop can train: one number for every pair of words; it remembers its weights."""

    def __init__(self, broken: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(WORDS, WORDS))
        self.broken, self.calls, self.seen = broken, 0, list[Tensor]()

    def start(self, batch: int) -> Tensor:
        return torch.zeros(1, batch, 1)

    def followed(self, words_TB: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        if self.training:
            self.seen.append(self.table.detach().clone())
            self.calls += 1
        factor = math.nan if self.calls in self.broken else 1.0
        return (factor * self.table[words_TB]).log_softmax(-1), torch.zeros(*words_TB.shape, 1)


# -- steps -------------------------------------------------------------------------------------------------------------


def test_a_step_is_that_of_sgd_with_a_clipped_gradient_and_a_rate_in_proportion_to_the_length(counting: Text) -> None:
    recipe = replace(TINY, batch_size=4, weight_decay=0.01, gradient_clip=0.05, slowness=0.5)
    mine, reference = model(), model()
    session = LanguageTraining(mine, counting, recipe, seed=Seed(0), device=torch.device("cpu"))
    session._step(3, 7, mine.start(4))

    text_TB = columns(counting.train, 4)
    log_probabilities, outputs = reference.followed(text_TB[3:10], reference.start(4))
    loss = -log_probabilities.gather(-1, text_TB[4:11, :, None]).mean()
    (loss + 0.5 * (outputs[1:] - outputs[:-1]).pow(2).mean()).backward()
    norm = nn.utils.clip_grad_norm_(reference.parameters(), 0.05)
    assert norm > 0.05
    torch.optim.SGD(reference.parameters(), lr=20 * 7 / 10, weight_decay=0.01).step()
    for ours, theirs in zip(mine.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_averaged_weights_are_the_mean_of_all_weights_since_the_switch(counting: Text) -> None:
    network = Bigram()
    session = LanguageTraining(network, counting, TINY, seed=Seed(0), device=torch.device("cpu"))
    session.average = [network.table.detach().clone()]
    session.round(None)
    after_each_step = [*network.seen[1:], network.table.detach()]
    torch.testing.assert_close(session.average[0], torch.stack(after_each_step).mean(0))
    assert session.history[0].averaged


def test_the_weights_are_averaged_once_nothing_was_gained_for_a_while() -> None:
    assert not stalls([3.0, 2.0], 9.0, patience=2)
    assert stalls([1.0, 3.0, 3.0], 2.0, patience=2)
    assert not stalls([2.0, 1.0, 1.0], 2.0, patience=2)  # only the first is more than two epochs old


def test_pieces_of_text_are_about_as_long_as_asked_for() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([lengths(LanguageRecipe(), rng) for _ in range(20_000)])
    assert drawn.min() >= 5
    assert drawn.max() <= 55
    # int() rounds down, by a half on average: 0.95 · 34.5 + 0.05 · 17.
    assert drawn.mean() == pytest.approx(33.6, abs=0.15)


def test_the_perplexity_of_a_network_that_knows_nothing_is_the_number_of_words(counting: Text) -> None:
    assert perplexity(Bigram(), counting.val, batch=2) == pytest.approx(WORDS)


def test_the_perplexity_does_not_depend_on_where_the_text_is_cut(counting: Text) -> None:
    network = model()
    values = [perplexity(network, counting.val, batch=3, bptt=length) for length in (3, 8, 500)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-5)
    assert network.training


# -- trainings ---------------------------------------------------------------------------------------------------------


def test_a_training_learns_and_keeps_the_best_weights(counting: Text) -> None:
    network = model()
    outcome = train_language(network, counting, replace(TINY, epochs=6), seed=Seed(0))
    assert outcome.val_ppl < 6 < WORDS
    assert outcome.val_ppl == min(epoch.val_ppl for epoch in outcome.history)
    assert perplexity(network, counting.val, batch=2, bptt=10) == pytest.approx(outcome.val_ppl)


def test_the_perplexity_of_the_penn_treebank_falls_in_seconds(shared_data: Path) -> None:
    text = load(f"text:{shared_data / 'ptb'}", limit=200)
    recipe = tiny(width=24, batch_size=8, epochs=3)
    network = model(words=len(text.vocabulary), width=24)
    untrained = perplexity(network, text.val, batch=10)
    assert untrained == pytest.approx(len(text.vocabulary), rel=0.01)
    outcome = train_language(network, text, recipe, seed=Seed(0))
    assert outcome.val_ppl < untrained / 4
    assert perplexity(network, text.test, batch=1) < untrained / 4


def test_a_model_is_evaluated_on_the_texts_of_wikitext_2(shared_data: Path) -> None:
    vocabulary = vocabulary_of(shared_data / "wikitext2" / "valid.txt")
    network = model(words=len(vocabulary), width=4)
    for part in ("valid", "test"):
        numbers, _ = encoded(shared_data / "wikitext2" / f"{part}.txt", vocabulary, limit=120)
        # Fresh weights say next to nothing, so that every word is as likely as any other.
        assert perplexity(network, torch.from_numpy(numbers), batch=10) == pytest.approx(len(vocabulary), rel=0.01)


def test_the_random_state_of_the_caller_stays_as_it_is(counting: Text) -> None:
    network = model(dropout=0.5)
    before = torch.random.get_rng_state()
    train_language(network, counting, replace(TINY, epochs=1), seed=Seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def interrupting(epoch: int) -> Any:
    def report(progress: LanguageProgress) -> None:
        if progress.epoch == epoch and progress.val_ppl is not None:
            raise KeyboardInterrupt

    return report


def test_an_interrupted_training_ends_as_if_it_had_not_been(counting: Text, tmp_path: Path) -> None:
    # Patience 1 makes it average after a few epochs, on both sides of the interruption.
    recipe = replace(TINY, batch_size=12, epochs=9, patience=1, learning_rate=40.0)
    whole, parted = model(dropout=0.3, dropout_word=0.1), model(dropout=0.3, dropout_word=0.1)
    expected = train_language(whole, counting, recipe, seed=Seed(0))
    assert {epoch.averaged for epoch in expected.history} == {False, True}
    for epoch in (3, 7):
        with pytest.raises(KeyboardInterrupt):
            train_language(parted, counting, recipe, seed=Seed(0), folder=tmp_path, progress=interrupting(epoch))
        parted = model(seed=epoch, dropout=0.3, dropout_word=0.1)
    assert train_language(parted, counting, recipe, seed=Seed(0), folder=tmp_path) == expected
    for ours, theirs in zip(parted.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 9
    with pytest.raises(StoreError, match="belongs to another training: its recipe is"):
        train_language(parted, counting, replace(recipe, slowness=0.0), seed=Seed(0), folder=tmp_path)


# -- losses that are no numbers ----------------------------------------------------------------------------------------


def test_an_epoch_that_fails_is_begun_anew_from_the_last_one(counting: Text) -> None:
    steps_an_epoch = len(_trained(counting, epochs=1).seen)
    network = Bigram(broken=frozenset({steps_an_epoch + 3}))
    outcome = train_language(network, counting, replace(TINY, epochs=2), seed=Seed(0))
    assert [epoch.rollbacks for epoch in outcome.history] == [0, 1]
    assert not outcome.halted
    assert bool(network.table.isfinite().all())
    # The weights before the first step of the second epoch are seen once more, after the step that failed.
    first = network.seen[steps_an_epoch]
    again = [step for step, weights in enumerate(network.seen) if torch.equal(weights, first)]
    assert again[0] == steps_an_epoch
    assert again[1] > steps_an_epoch + 1


def test_after_three_failures_the_training_ends_with_the_best_weights(counting: Text) -> None:
    good = _trained(counting, epochs=1)
    network = Bigram(broken=frozenset(range(len(good.seen) + 1, 10_000)))
    outcome = train_language(network, counting, replace(TINY, epochs=5), seed=Seed(0))
    assert outcome.halted
    assert len(outcome.history) == 1
    assert torch.equal(network.table, good.table)


def test_a_training_that_never_works_says_so(counting: Text) -> None:
    with pytest.raises(Diverged, match="not finite 3 times in the first epoch at a learning rate of 20: lower it"):
        train_language(Bigram(broken=frozenset(range(10_000))), counting, TINY, seed=Seed(0))


def _trained(text: Text, epochs: int) -> Bigram:
    network = Bigram()
    train_language(network, text, replace(TINY, epochs=epochs), seed=Seed(0))
    return network


# -- recipes -----------------------------------------------------------------------------------------------------------


def test_the_paper_preset_is_the_published_recipe_and_others_are_smaller() -> None:
    tiny, small, paper = (LanguageRecipe(**PRESETS[preset]) for preset in ("tiny", "small", "paper"))
    assert paper == LanguageRecipe()
    assert tiny.width < small.width < paper.width


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number"),
        ({"slowness": -1.0}, "slowness must be 0 or a positive number"),
        ({"gradient_clip": math.inf}, "gradient_clip must be 0 or a positive number"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        tiny(**changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"preset": "smal"}, r"no preset named 'smal'\. Did you mean 'small'"), ({"epoch": 3}, "Did you mean 'epochs'")],
)
def test_unknown_names_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        catalog.filled(LanguageRecipe, options)


def test_a_text_too_short_for_the_batch_is_refused_before_training(counting: Text) -> None:
    with pytest.raises(SpecError, match="cannot be read as 700 texts side by side"):
        train_language(model(), counting, replace(TINY, batch_size=700), seed=Seed(0))
    with pytest.raises(SpecError, match="cannot be read as 150 texts side by side"):
        train_language(model(), counting, replace(TINY, eval_batch=150), seed=Seed(0))
