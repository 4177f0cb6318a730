from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ogive.core.errors import ExportError, SpecError
from ogive.networks.export import export
from ogive.networks.plain_words import of_words
from ogive.networks.recurrent import LanguageModel, build_language_model, highway
from ogive.spaces.darts_rnn import PUBLISHED
from ogive.trained_networks import Exported
from ogive.training.language import perplexity
from ogive.training.text import encoded

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY = ("the", "cat", "saw", "<eos>", "<unk>")


def export_language(
    network: LanguageModel, folder: Path, *, vocabulary: tuple[str, ...] = VOCABULARY, **options: Any
) -> Exported:
    plain = of_words(network, vocabulary=vocabulary)
    return export(network, folder, plain, **{"name": "model", "formats": ["torch"], **options})[0]


@pytest.fixture(scope="module")
def network() -> LanguageModel:
    made = build_language_model(PUBLISHED["enas"], words=5, width=4, seed=0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(20)  # far from the uniform answer of fresh weights
    return made


def test_an_exported_model_runs_without_ogive_and_has_the_same_perplexity(
    network: LanguageModel, tmp_path: Path
) -> None:
    exported = export_language(network, tmp_path, headline="the cell of ENAS")
    assert exported.largest_difference <= 1e-6
    assert sorted(path.name for path in exported.paths) == ["model.py", "model.safetensors", "model.words.txt"]
    source = (tmp_path / "model.py").read_text()
    assert "the cell of ENAS" in source
    assert "import ogive" not in source
    assert "from ogive" not in source
    text = tmp_path / "text.txt"
    text.write_text("the cat saw\nthe dog saw the cat\n" * 20)
    command = [sys.executable, "-I", "-W", "error", "model.py", "--text", "text.txt"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120).stdout
    numbers, unknown = encoded(text, VOCABULARY)
    assert unknown == 20
    expected = perplexity(network, torch.from_numpy(numbers), batch=1)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert said.splitlines() == [
        f"LanguageModel: 5 words, width 4, {parameters:,} trainable parameters",
        f"perplexity {expected:.2f} of {len(numbers) - 1} words",
    ]


def test_the_network_and_the_random_state_stay_as_they_are(network: LanguageModel, tmp_path: Path) -> None:
    network.train()
    before, weights = torch.random.get_rng_state(), network.embedding.detach().clone()
    export_language(network, tmp_path)
    assert network.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(network.embedding, weights)


class Other(LanguageModel):
    """A model that says something else once it is rebuilt from its recipe."""

    def __init__(self, **recipe: object) -> None:
        super().__init__(**recipe)  # type: ignore[arg-type]
        self.recipe = {**self.recipe, "concat": (1,)}


def test_an_export_that_computes_something_else_is_not_written(network: LanguageModel, tmp_path: Path) -> None:
    other = Other(**network.recipe).eval()
    other.load_state_dict(network.state_dict())
    with pytest.raises(ExportError, match="differs from Other by"):
        export_language(other, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused(network: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="knows 5 words, but 4 different ones were named"):
        export_language(network, tmp_path, vocabulary=VOCABULARY[:4])
    with pytest.raises(SpecError, match="a name that a Python file of one's own can have"):
        export_language(network, tmp_path, name="torch")


def test_a_gate_that_is_shut_lets_the_state_before_pass() -> None:
    before = torch.tensor([[1.0, -2.0]])
    shut, opened = torch.full((1, 2), -50.0), torch.full((1, 2), 50.0)
    candidate = torch.tensor([[0.5, 0.25]])
    torch.testing.assert_close(highway(torch.cat([shut, candidate], 1), before, "relu"), before)
    torch.testing.assert_close(highway(torch.cat([opened, candidate], 1), before, "relu"), candidate)
