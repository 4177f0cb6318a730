"""The recurrent supernet of DARTS: counts, values and derived cells that running the published code gave.

The numbers come from executing the reference code of Liu et al., "DARTS: Differentiable Architecture Search", ICLR
2019 (quark0/darts at f276dd3, rnn/) on today's PyTorch.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ogive.spaces.darts_rnn import cell_of
from ogive.supernets.recurrent import EDGES, MixedRecurrentCell, RecurrentSupernet, derived, fresh_alphas

pytestmark = pytest.mark.usefixtures("one_thread")

OUTPUTS = [
    [1.0609798879, 1.2257550711, 1.1076854067, 0.7417133180, 0.2086791068, -0.1780655543],
    [1.6308566425, 1.8558838367, 1.7451836834, 1.1301526851, 0.5971924262, 0.2387081769],
]


def fill(shape: tuple[int, ...], phase: float) -> Tensor:
    count = torch.Size(shape).numel()
    return (0.5 * torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + phase)).view(shape)


def test_the_supernet_of_ptb_has_the_published_size() -> None:
    with torch.device("meta"):
        network = RecurrentSupernet(words=10_000)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_810_000
    assert sum(parameter.numel() for parameter in network.cell.parameters()) == 1_800_000
    alphas = fresh_alphas(torch.Generator().manual_seed(0))
    assert alphas.numel() == 5 * len(EDGES) == 180
    assert 0.0008 < float(alphas.detach().std()) < 0.0012


def test_one_normalisation_without_weights_serves_all_states() -> None:
    network = RecurrentSupernet(words=7, width=4)
    (norm,) = (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d))
    assert not norm.affine


def test_a_mixed_cell_computes_what_the_published_code_computes() -> None:
    cell = MixedRecurrentCell(3, 3, dropout_hidden=0.25, dropout_input=0.75).double().eval()
    with torch.no_grad():
        cell.first.copy_(fill((6, 6), 1.0))
        for node, weight in enumerate(cell.nodes):
            weight.copy_(fill((3, 6), 2.0 + node))
        weights_EO = torch.softmax(fill((36, 5), 0.1), dim=-1)
        outputs = cell.mixed(fill((2, 2, 3), 0.3), fill((1, 2, 3), 0.9)[0], weights_EO)
    expected = torch.tensor(OUTPUTS, dtype=torch.float64).view(2, 2, 3)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-9)


def test_cells_are_derived_as_published() -> None:
    assert cell_of(derived(torch.zeros(36, 5))) == (("tanh", 0),) * 8
    edges, operations = torch.meshgrid(torch.arange(36), torch.arange(5), indexing="ij")
    alphas_EO = ((7 * edges + 3 * operations) % 11) / 10
    assert cell_of(derived(alphas_EO)) == (
        ("sigmoid", 0),
        ("relu", 1),
        ("relu", 2),
        ("sigmoid", 2),
        ("sigmoid", 1),
        ("sigmoid", 4),
        ("sigmoid", 1),
        ("sigmoid", 2),
    )
