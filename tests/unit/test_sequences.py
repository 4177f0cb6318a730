"""Sentences and signals: how they are read and refused, what their networks see, and that their files need no ogive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ogive
from ogive import catalog
from ogive.core.errors import SpecError
from ogive.networks.build import build, fitted_skeleton
from ogive.networks.words import encoded, words_of
from ogive.training.data import Data
from ogive.training.sentences import Sentences
from ogive.training.signals import Signals

SPACES = ("textcnn", "transformer", "conv1d")


def reviews(path: Path, count: int = 40, more: str = "") -> str:
    lines = [f'"A {("great", "dull")[k % 2]} film, no. {k}",{("good", "bad")[k % 2]}' for k in range(count)]
    path.write_text("\n".join(["review,verdict", *lines]) + "\n" + more, encoding="utf-8")
    return f"sentences:{path}(text=review, label=verdict, length=6)"


def waves(path: Path, **changed: np.ndarray) -> str:
    x = np.random.default_rng(0).normal(size=(40, 2, 30)).astype(np.float32)
    x[::2, 0] += np.sin(np.arange(30))
    np.savez(path, **({"x": x, "y": np.tile(["sine", "noise"], 20)} | changed))
    return f"arrays:{path}"


def test_texts_are_cut_into_words_and_unknown_ones_share_a_number() -> None:
    assert words_of("It's 5 €.") == ["it", "'", "s", "5", "€", "."]
    assert encoded("a dull FILM", {"a": 2, "film": 3}, 5) == [2, 1, 3, 0, 0]
    assert encoded("a a a", {"a": 2}, 2) == [2, 2]


def test_sentences_are_divided_alike_and_words_are_those_of_the_training_part(tmp_path: Path) -> None:
    data = catalog.build("data", reviews(tmp_path / "r.csv"))
    assert isinstance(data, Sentences)
    assert (len(data.train), len(data.val), len(data.test), data.shape) == (26, 6, 8, (6,))
    assert data.classes == ("bad", "good")
    assert data.words[:4] == (",", ".", "a", "film")  # the most frequent, and of these the first in the alphabet
    assert not {word for text in data.texts for word in words_of(text) if word.isdigit()} & set(data.words)
    assert data.summary[0].startswith("40 sentences, of which 6 words are read and ")
    again = catalog.build("data", reviews(tmp_path / "moved.csv").replace("length=6", "length=6, limit=4"))
    assert len(again.train) == 4
    assert data.texts[0] in {f"A great film, no. {k}" for k in range(40)} | {f"A dull film, no. {k}" for k in range(40)}


@pytest.mark.parametrize(
    ("more", "written", "said"),
    [
        (",good\n", "", "There is no review in line 42 of"),
        ('" ",good\n', "", "There is no review in line 42 of"),
        ("a film,\n", "", "There is no verdict in line 42 of"),
        ("a film,good,x\n", "", "Line 42 of .* has 3 cells"),
        ("a film,rare\n", "", "The label 'rare' of .* has 1 sentence.*3 are the least"),
        ("", "(text=review)", "Which columns of .* hold the text and the label"),
        ("", "(text=review, label=stars)", "stars is no column of .*, whose columns are review, verdict"),
        ("", "(text=review, label=verdict, length=0)", "length is the number of words"),
    ],
)
def test_what_is_wrong_with_sentences_is_one_line(tmp_path: Path, more: str, written: str, said: str) -> None:
    name = reviews(tmp_path / "r.csv", more=more)
    with pytest.raises(SpecError, match=said) as refused:
        catalog.build("data", name if not written else name.partition("(")[0] + written)
    assert "\n" not in str(refused.value)


def test_a_label_that_only_the_test_file_has_is_named(tmp_path: Path) -> None:
    reviews(tmp_path / "r.csv")
    (tmp_path / "t.csv").write_text("review,verdict\nfine,good\nmeh,middling\n")
    with pytest.raises(SpecError, match=r"The label in line 3 of .*t\.csv is 'middling', which no training"):
        catalog.build(
            "data", f"sentences:{tmp_path / 'r.csv'}(text=review, label=verdict, test='{tmp_path / 't.csv'}')"
        )


def test_three_dimensions_are_signals_unless_they_are_bytes_or_squares(tmp_path: Path) -> None:
    data = catalog.build("data", waves(tmp_path / "w.npz"))
    assert isinstance(data, Signals)
    assert data.shape == (2, 30)
    assert "kind=images to change" in data.chosen
    assert data.summary[0].startswith("40 signals of 2 channels and 30 points")
    whole = data.normalised(data.train.images)
    assert torch.allclose(whole.mean((0, 2)), torch.zeros(2), atol=1e-4)
    for x in (np.zeros((40, 2, 30), np.uint8), np.zeros((40, 9, 9), np.float32)):
        assert type(catalog.build("data", waves(tmp_path / "i.npz", x=x))) is Data
    assert catalog.build("data", f"arrays:{tmp_path / 'w.npz'}(kind=images)").shape == (1, 2, 30)


def test_what_is_wrong_with_signals_is_one_line(tmp_path: Path) -> None:
    x = np.ones((40, 2, 30), np.float32)
    gap = x.copy()
    gap[3, 0, 0] = np.nan
    labels = np.tile([0, 1], 20)
    longer = {"x_train": x, "y_train": labels, "x_test": np.ones((4, 2, 31), np.float32), "y_test": labels[:4]}
    unknown = {**longer, "x_test": x[:2], "y_test": np.array([0, 7])}
    cases = [
        ({"x": gap}, "number 3 of train"),
        (longer, "need one shape"),
        (unknown, "7"),
        ({"y": labels[:9]}, "one label"),
    ]
    for changed, said in cases:
        with pytest.raises(SpecError, match=said) as refused:
            catalog.build("data", waves(tmp_path / "w.npz", **changed))
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", SPACES)
def test_every_network_of_a_space_is_built_as_it_is_written(name: str) -> None:
    space = catalog.build("space", name)
    shape, sizes = ((2, 17), {}) if name == "conv1d" else ((7,), {"inputs": 11})
    inputs = torch.randn(3, *shape) if name == "conv1d" else torch.randint(0, 11, (3, 7)).float()
    for seed in range(12):
        arch = space.sample(np.random.default_rng(seed))
        assert space.parse(space.format(arch)) == arch
        network = build(arch, fitted_skeleton(name, shape, 4, **sizes), seed=0).eval()
        assert network(inputs).shape == (3, 4)
        assert len(space.draw(arch)) > 3
    with pytest.raises(SpecError, match="is written as"):
        space.parse("nothing of that")
    with pytest.raises(SpecError, match=r"read (signals|sentences), and not inputs"):
        fitted_skeleton(name, (3, 8, 8), 4)


@pytest.mark.parametrize(("name", "text"), [("textcnn", "16 2-3-4-5 16 max 0"), ("transformer", "16 2 2 2 mean 0")])
def test_what_fills_up_a_sentence_changes_nothing(name: str, text: str) -> None:
    space = catalog.build("space", name)
    network = build(space.parse(text), fitted_skeleton(name, (9,), 3, inputs=20), seed=0).double().eval()
    sentence = torch.tensor([[4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    before = network(sentence)
    with torch.no_grad():
        network.embedding.weight[0] = 7.0  # type: ignore[union-attr]
    after = network(sentence)
    if name == "transformer":  # convolutions at the end of a sentence see what fills it up
        assert torch.allclose(before, after)
    assert not torch.allclose(network(sentence.flip(1)), after)


@pytest.mark.parametrize(
    # textcnn goes all the way in examples/own_sentences.py.
    ("space", "kind"),
    [("transformer", "sentences"), ("conv1d", "signals")],
)
def test_a_search_ends_in_files_that_need_no_ogive(space: str, kind: str, tmp_path: Path) -> None:
    data = reviews(tmp_path / "r.csv") if kind == "sentences" else waves(tmp_path / "w.npz")
    evaluator = "trained(epochs=1, threads=1)"
    found = ogive.search(space=space, data=data, strategy="random", evaluator=evaluator, budget=2, out=tmp_path / "run")
    facts = ogive.train(found, recipe="epochs=2", threads=1)
    assert f"8 test {kind}" in facts["reached"]
    ogive.export(found, formats=["torch"])
    place = tmp_path / "run" / "artifacts" / "export"
    test, asked = ("test.csv", ["a great film"]) if kind == "sentences" else ("test.safetensors", [])
    done = subprocess.run(
        [sys.executable, "-I", str(place / "winner.py"), *asked, "--data", str(place / test)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"accuracy {facts['test_acc']:.2f} % of 8" in done.stdout
    if kind == "sentences":
        assert (place / "winner_words.py").exists()
        assert done.stdout.splitlines()[0].split()[0] in ("good", "bad")
    page = ogive.report(found).read_text(encoding="utf-8")
    assert f"On 8 test {kind}" in page
    assert facts["test_acc"] == 100 or ("<q>A " in page if kind == "sentences" else "<polyline" in page)
