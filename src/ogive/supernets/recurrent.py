"""The supernet of the recurrent DARTS space: a language model whose every node mixes all states and activations.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, section 3.1.2; the code is quark0/darts, rnn/model_search.py. Shapes: T
moments, B texts side by side, H numbers of a state, V words, E edges, O operations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.networks.recurrent import LanguageModel, RecurrentCell, activation
from ogive.spaces.darts_rnn import CONCAT, NODES, OPS, Cell, architecture

__all__ = ["EDGES", "MixedRecurrentCell", "RecurrentSupernet", "derived", "fresh_alphas", "strongest"]

# Every node reads all states before it: 36 edges.
EDGES = tuple((source, node) for node in range(1, 1 + NODES) for source in range(node))
CHAIN: Cell = (("identity", 0),) * NODES  # stands for the entries that a mixed cell does not have


class MixedRecurrentCell(RecurrentCell):
    """A cell in which each node is the sum over earlier states and activations, each with a weight of its own.

    A node has one matrix for all that it reads. One normalisation, without weights, follows every state: it keeps the
    sums apart from the scale that the weights would give them.
    """

    def __init__(self, inputs: int, width: int, dropout_hidden: float = 0.0, dropout_input: float = 0.0) -> None:
        super().__init__(CHAIN, CONCAT, inputs, width, dropout_hidden, dropout_input)
        self.norm = nn.BatchNorm1d(width, affine=False)

    def mixed(self, x_TBI: Tensor, hidden_BH: Tensor, weights_EO: Tensor) -> Tensor:
        """The outputs at all moments (T, B, H), for weights of all operations, `none` included, which adds nothing."""
        # For each node the weights of its activations, (N, 1, 1) each, and the sum of them.
        rows = [part[:, None, None, 1:] for part in weights_EO.split(list(range(1, 1 + NODES)))]
        mixes = [(row.unbind(-1), row.sum(-1)) for row in rows]
        return self.run(x_TBI, hidden_BH, lambda first, mask: self._mixed_moment(first, mask, mixes))

    def _mixed_moment(
        self, first_BH: Tensor, mask_BH: Tensor, mixes: list[tuple[tuple[Tensor, ...], Tensor]]
    ) -> Tensor:
        states_NBH: Tensor = self.norm(first_BH)[None]
        for weight, (shares, total_N11) in zip(self.nodes, mixes, strict=True):
            gates, candidates = ((states_NBH * mask_BH) @ weight).chunk(2, dim=-1)
            # The sum over operations of p (s + c (f(h) - s)), taken apart so that the gate is applied once.
            found = torch.zeros_like(candidates)
            for share_N11, name in zip(shares, OPS[1:], strict=True):
                found = torch.addcmul(found, share_N11, activation(name, candidates))
            new_BH = torch.lerp(total_N11 * states_NBH, found, torch.sigmoid(gates)).sum(0)
            states_NBH = torch.cat([states_NBH, self.norm(new_BH)[None]])
        return states_NBH[-NODES:].mean(0)


class RecurrentSupernet(LanguageModel):
    """The language model of the search; its architecture parameters are no parameters of it but an argument."""

    cell: MixedRecurrentCell

    def __init__(
        self,
        words: int,
        width: int = 300,  # DARTS, appendix A.1.2
        dropout: float = 0.75,  # quark0/darts, rnn/train_search.py, as are the next four
        dropout_hidden: float = 0.25,
        dropout_input: float = 0.75,
        dropout_embedding: float = 0.2,
        dropout_word: float = 0.0,
    ) -> None:
        super().__init__(
            CHAIN, CONCAT, words, width, dropout, dropout_hidden, dropout_input, dropout_embedding, dropout_word
        )
        self.cell = MixedRecurrentCell(width, width, dropout_hidden, dropout_input)
        self.reset()

    def mixed(self, words_TB: Tensor, hidden_1BH: Tensor, weights_EO: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the next words (T, B, V) and the outputs of the cell (T, B, H), for weights of edges."""
        outputs = self.cell.mixed(self.vectors(words_TB), hidden_1BH[0], weights_EO)
        return self.log_probabilities(outputs), outputs


def fresh_alphas(draw: torch.Generator, *, scale: float = 1e-3, device: str = "cpu") -> Tensor:
    """Architecture parameters (36, 5), 1e-3 of a standard normal: quark0/darts, rnn/model_search.py."""
    values = scale * torch.randn(len(EDGES), len(OPS), generator=draw)
    return values.to(device).requires_grad_()


def derived(alphas_EO: Tensor) -> Architecture:
    """What softmax shares of the parameters lead to, by `strongest`."""
    return strongest(torch.softmax(alphas_EO.detach().double().cpu(), dim=-1))


def strongest(shares_EO: Tensor) -> Architecture:
    """The strongest edge of each node with its strongest operation (DARTS, section 2.4).

    An edge is as strong as its strongest operation other than `none`; of equal edges the one from the lower state
    counts, of equal operations the first.
    """
    rows = shares_EO[:, 1:]
    cell = []
    for node in range(1, 1 + NODES):
        incoming = [place for place, (_, target) in enumerate(EDGES) if target == node]
        best = max(incoming, key=lambda place: max(rows[place].tolist()))
        shares = rows[best].tolist()
        cell.append((OPS[1:][shares.index(max(shares))], EDGES[best][0]))
    return architecture(tuple(cell))
