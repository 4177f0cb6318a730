"""Language models of DARTS: counts and float64 values that running the published code gave.

The numbers come from executing the reference code of Liu et al., "DARTS: Differentiable Architecture Search", ICLR
2019 (quark0/darts at f276dd3, rnn/) on today's PyTorch.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ogive.networks.recurrent import LanguageModel, RecurrentCell
from ogive.spaces.darts_rnn import PUBLISHED

pytestmark = pytest.mark.usefixtures("one_thread")


def fill(shape: tuple[int, ...], phase: float) -> Tensor:
    count = torch.Size(shape).numel()
    return (0.5 * torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + phase)).view(shape)


@pytest.mark.parametrize(
    ("name", "words", "width", "parameters"),
    [
        ("darts_v1", 10_000, 850, 22_960_000),
        ("darts_v2", 10_000, 850, 22_960_000),
        ("enas", 10_000, 850, 27_295_000),
        ("darts_v2", 33_278, 700, 33_127_878),
        ("enas", 33_278, 700, 36_067_878),
        ("nao", 10_000, 850, 27_295_000),
        ("nao_ws", 10_000, 850, 27_295_000),
        ("nao", 33_278, 700, 36_067_878),
    ],
)
def test_a_language_model_has_the_published_number_of_parameters(
    name: str, words: int, width: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = LanguageModel(*PUBLISHED[name], words=words, width=width)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_parameters_of_ptb_are_the_cell_the_tied_vectors_and_a_bias() -> None:
    with torch.device("meta"):
        network = LanguageModel(*PUBLISHED["darts_v1"], words=10_000)
    assert sum(parameter.numel() for parameter in network.cell.parameters()) == 14_450_000
    assert (network.embedding.numel(), network.bias.numel()) == (8_500_000, 10_000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "darts_v1",
            [0.05232930519, 0.06911335822, 0.05408903275, 0.01948318938, 0.00330423337, -0.01575949348],
        ),
        (
            "darts_v2",
            [0.17965099041, 0.20124257036, 0.19177816968, 0.17073576500, 0.15152713538, 0.13104193966],
        ),
    ],
)
def test_a_cell_computes_what_the_published_code_computes(name: str, expected: list[float]) -> None:
    cell = RecurrentCell(*PUBLISHED[name], inputs=3, width=3, dropout_hidden=0.25, dropout_input=0.75).double().eval()
    with torch.no_grad():
        cell.first.copy_(fill((6, 6), 1.0))
        for node, weight in enumerate(cell.nodes):
            weight.copy_(fill((3, 6), 2.0 + node))
        outputs = cell(fill((2, 1, 3), 0.3), fill((1, 1, 3), 0.9)[0])
    torch.testing.assert_close(outputs.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)


def test_a_language_model_gives_log_probabilities_and_the_state_to_go_on_from() -> None:
    network = LanguageModel(*PUBLISHED["darts_v2"], words=11, width=5).eval()
    words = torch.arange(12).remainder(11).view(4, 3)
    log_probabilities, hidden = network(words, network.start(3))
    assert log_probabilities.shape == (4, 3, 11)
    assert hidden.shape == (1, 3, 5)
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(4, 3))
