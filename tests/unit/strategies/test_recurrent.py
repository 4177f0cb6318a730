from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ogive import catalog
from ogive.context import Context
from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.spaces.darts_rnn import darts_rnn
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.supernet import SupernetStrategy
from ogive.training import checkpoint
from ogive.training.data import load as load_images
from ogive.training.text import Text

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {"channels": 3, "epochs": 2, "batch_size": 2, "bptt": 4, "alpha_learning_rate": 0.1}
CYCLE = torch.arange(24) % 5
TEXT = Text("cycle", ("a", "b", "c", "d", "<eos>"), CYCLE, CYCLE, CYCLE)


def strategy(**options: Any) -> SupernetStrategy:
    given = {"space": darts_rnn(), "data": TEXT, "seed": Seed(0), **SMALL, **options}
    found: SupernetStrategy = catalog.build("strategy", "darts", **given)
    return found


def test_a_rehearsal_counts_every_epoch_and_changes_nothing() -> None:
    short, long = strategy(epochs=2), strategy(epochs=60)
    # Thirty times as many epochs; a busy machine may make one of them several times slower.
    assert 0 < 4 * short.rehearse() < long.rehearse()
    assert [one.arch for one in short.ask(2)] == [one.arch for one in strategy(epochs=2).ask(2)]
    assert short.proposals == 2


def test_every_ask_is_an_epoch_and_the_search_ends_after_the_last() -> None:
    searching = strategy(order=2)
    first, second = searching.ask(1), searching.ask(3)
    assert (len(first), len(second)) == (1, 1)
    assert searching.ask(1) == []
    assert second[0].arch == searching.derived()
    assert first[0].cost.wall_s >= searching.search.history[0].seconds > 0
    assert darts_rnn().admit(second[0].arch) == second[0].arch


def test_what_an_epoch_is_doing_is_told() -> None:
    told: list[str] = []
    strategy(progress=told.append).ask(1)
    assert told[-1].startswith("epoch 1 of 2: loss ")


def test_a_search_goes_on_from_its_saved_state(tmp_path: Path) -> None:
    whole, first, second = strategy(), strategy(), strategy()
    expected = [proposal.arch for proposal in whole.ask(2)]
    assert [proposal.arch for proposal in first.ask(1)] == expected[:1]
    first.save(tmp_path)
    second.load(tmp_path)
    assert [proposal.arch for proposal in second.ask(2)] == expected[1:]
    assert second.search.history == whole.search.history
    with pytest.raises(StoreError, match="belongs to another training: its recipe"):
        strategy(slowness=0.5).load(tmp_path)
    with pytest.raises(StoreError, match="holds no readable state"):
        strategy().load(tmp_path / "elsewhere")


def test_a_state_of_version_0_1_is_refused_in_one_line(tmp_path: Path) -> None:
    before = {"recipe": {"order": 1}, "network": {"width": 3}, "seed": [0], "data": TEXT.digest}
    checkpoint.save(tmp_path, 1, {"alphas": torch.zeros(36, 5)}, {"fingerprint": before})
    with pytest.raises(StoreError, match=r"says nothing of its space, .* version 0\.1, which goes on with it\.$"):
        strategy().load(tmp_path)


def test_darts_means_this_where_the_data_are_a_text() -> None:
    context = Context({"data": lambda: TEXT, "space": darts_rnn}, Seed(0))
    assert isinstance(catalog.build("strategy", "darts(epochs=2, batch_size=2)", context), SupernetStrategy)


@pytest.mark.parametrize("options", [{"gate": "gumbel"}, {"eigenvalue_ratio": 1.3}, {"settled": 1}], ids=str)
def test_what_was_made_of_darts_on_images_works_on_a_text(options: dict[str, Any]) -> None:
    searching = strategy(learning_rate=1.0, **options)
    assert len(searching.ask(2)) == 2
    assert all(len(notes) == 2 for notes in searching._notes)
    assert 1 < searching.search.history[-1].train_score < 10  # of five words


def test_texts_and_images_are_not_confused() -> None:
    with pytest.raises(
        SpecError, match="digits is data for classification or generation, and networks of darts_rnn are"
    ):
        strategy(data=load_images("digits", limit=20))
    with pytest.raises(SpecError, match="cycle is data for language, and networks of nasbench201"):
        strategy(space=nasbench201())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels must be at least 1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"gradient_clip": 0.0}, "gradient_clip must be a positive number"),
        ({"gate": "sigmoid"}, "Operations of a recurrent cell compete"),
        ({"select": "perturbation"}, "one cell whose nodes share what they read, and has no parts"),
        ({"partial": 4}, "leave out cells and partial"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        strategy(**options)
