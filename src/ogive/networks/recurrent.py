"""Language models around one recurrent cell, as DARTS evaluates its cells on text.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, section 3.1.2 and appendix A.2.2; the code is quark0/darts, rnn/. Shapes:
T moments, B sequences side by side, H numbers of a state, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.networks.build import drawing_from
from ogive.spaces.darts_rnn import CHOOSABLE, NAME, Genotype, cell_of, darts_rnn
from ogive.spaces.darts_rnn import CONCAT as NODES_1_TO_8

__all__ = [
    "INITIAL_RANGE",
    "LanguageModel",
    "RecurrentCell",
    "activation",
    "build_language_model",
    "dropped",
    "highway",
    "macs_a_word",
]

INITIAL_RANGE = 0.04  # weights are uniform in (-0.04, 0.04): quark0/darts, rnn/model.py


def activation(name: str, x: Tensor) -> Tensor:
    """One of the functions that a node applies."""
    if name == "tanh":
        return torch.tanh(x)
    if name == "relu":
        return torch.relu(x)
    if name == "sigmoid":
        return torch.sigmoid(x)
    if name == "identity":
        return x
    raise ValueError(f"no activation {name!r}")


def highway(gates: Tensor, before: Tensor, name: str) -> Tensor:
    """The state after `before`, shape (..., H): a gate decides how much of it is new; `gates` are (..., 2H)."""
    gate, candidate = gates.chunk(2, dim=-1)
    return torch.lerp(before, activation(name, candidate), torch.sigmoid(gate))


def dropped(x: Tensor, shape: tuple[int, ...], probability: float) -> Tensor:
    """`x` with numbers set to zero where a mask of `shape` says so, the rest scaled up to the same mean."""
    if probability == 0.0:
        return x
    mask = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1 - probability)
    return x * (mask / (1 - probability))


class RecurrentCell(nn.Module):
    """A cell of nodes that each read one earlier state, run over a sequence.

    `entries` are (operation, state) pairs, one a node; state 0 is made of the input and the last output, and the output
    is the mean of the states in `concat`. In training, one mask of the input and one of all states hold for a sequence.
    """

    def __init__(
        self,
        entries: Sequence[tuple[str, int]],
        concat: Sequence[int],
        inputs: int,
        width: int,
        dropout_hidden: float = 0.0,
        dropout_input: float = 0.0,
    ) -> None:
        super().__init__()
        self.entries = [(name, state) for name, state in entries]
        self.concat = list(concat)
        self.inputs = inputs
        self.width = width
        self.dropout_hidden = dropout_hidden
        self.dropout_input = dropout_input
        self.first = nn.Parameter(torch.empty(inputs + width, 2 * width))
        self.nodes = nn.ParameterList([nn.Parameter(torch.empty(width, 2 * width)) for _ in self.entries])

    def forward(self, x_TBI: Tensor, hidden_BH: Tensor) -> Tensor:
        """The outputs at all moments, shape (T, B, H), from the output before the first."""
        return self.run(x_TBI, hidden_BH, self.moment)

    def run(self, x_TBI: Tensor, hidden_BH: Tensor, moment: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The same with another function from state 0 and the mask of states, both (B, H), to the output."""
        batch = x_TBI.shape[1]
        mask_BH = torch.ones(batch, self.width, dtype=x_TBI.dtype, device=x_TBI.device)
        if self.training:
            x_TBI = dropped(x_TBI, (1, batch, self.inputs), self.dropout_input)
            mask_BH = dropped(mask_BH, (batch, self.width), self.dropout_hidden)
        # What the input adds does not wait for the moment before: one product for the whole sequence.
        driven = x_TBI @ self.first[: self.inputs]
        recurrent = self.first[self.inputs :]
        outputs = []
        for gates in driven:
            gates = gates + (hidden_BH * mask_BH) @ recurrent
            hidden_BH = moment(highway(gates, hidden_BH, "tanh"), mask_BH)
            outputs.append(hidden_BH)
        return torch.stack(outputs)

    def moment(self, first_BH: Tensor, mask_BH: Tensor) -> Tensor:
        """The output of one moment, from its state 0."""
        states = [first_BH]
        for (name, source), weight in zip(self.entries, self.nodes, strict=True):
            before = states[source]
            states.append(highway((before * mask_BH) @ weight, before, name))
        return torch.stack([states[state] for state in self.concat]).mean(0)


class LanguageModel(nn.Module):
    """Says how likely every word is to come next; the vectors of words are those that the output is compared with.

    `words` is the size of the vocabulary and `width` that of all states and vectors. The probabilities of dropping, in
    training only: `dropout_word` of a word of the vocabulary (everywhere in a batch), `dropout_embedding` of numbers
    of the vectors read, `dropout_input` and `dropout_hidden` in the cell, `dropout` of numbers of the cell's output.
    """

    def __init__(
        self,
        entries: Sequence[tuple[str, int]],
        concat: Sequence[int],
        words: int,
        width: int = 850,  # DARTS, appendix A.2.2 (700 for WikiText-2)
        dropout: float = 0.75,  # quark0/darts, rnn/train.py, as are the next four
        dropout_hidden: float = 0.25,
        dropout_input: float = 0.75,
        dropout_embedding: float = 0.2,
        dropout_word: float = 0.1,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "entries": tuple((name, state) for name, state in entries),
            "concat": tuple(concat),
            "words": words,
            "width": width,
            "dropout": dropout,
            "dropout_hidden": dropout_hidden,
            "dropout_input": dropout_input,
            "dropout_embedding": dropout_embedding,
            "dropout_word": dropout_word,
        }
        self.words = words
        self.width = width
        self.dropout = dropout
        self.dropout_embedding = dropout_embedding
        self.dropout_word = dropout_word
        self.embedding = nn.Parameter(torch.empty(words, width))
        self.bias = nn.Parameter(torch.empty(words))
        self.cell = RecurrentCell(entries, concat, width, width, dropout_hidden, dropout_input)
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, from torch's global state or from a generator of the same device."""
        with torch.no_grad():
            self.bias.zero_()
            for weight in (self.embedding, *self.cell.parameters()):
                weight.uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=generator)

    def start(self, batch: int) -> Tensor:
        """The output before the first word of `batch` texts, shape (1, B, H)."""
        return self.embedding.new_zeros(1, batch, self.width)

    def forward(self, words_TB: Tensor, hidden_1BH: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of every next word (T, B, V), and the last output (1, B, H) to go on from."""
        log_probabilities, outputs = self.followed(words_TB, hidden_1BH)
        return log_probabilities, outputs[-1:]

    def followed(self, words_TB: Tensor, hidden_1BH: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (T, B, V), and the outputs of the cell at all moments (T, B, H), without dropout."""
        outputs = self.cell(self.vectors(words_TB), hidden_1BH[0])
        return self.log_probabilities(outputs), outputs

    def vectors(self, words_TB: Tensor) -> Tensor:
        """What the cell reads, (T, B, H)."""
        if not self.training:
            return F.embedding(words_TB, self.embedding)
        table = dropped(self.embedding, (self.words, 1), self.dropout_word)
        return dropped(F.embedding(words_TB, table), (1, words_TB.shape[1], self.width), self.dropout_embedding)

    def log_probabilities(self, outputs_TBH: Tensor) -> Tensor:
        """Of every word to come next, (T, B, V)."""
        if self.training:
            outputs_TBH = dropped(outputs_TBH, (1, outputs_TBH.shape[1], self.width), self.dropout)
        return F.log_softmax(F.linear(outputs_TBH, self.embedding, self.bias), dim=-1)


def build_language_model(
    cell: Architecture | Genotype, *, words: int, width: int, seed: int | None = None, **dropouts: float
) -> LanguageModel:
    """The language model of an architecture of darts_rnn, or of any recurrent genotype.

    With a `seed` the weights depend on it alone; without one they are drawn from torch's global random state.
    `dropouts` are those of `LanguageModel`, with its defaults. Raises InvalidArchitecture or SpecError.
    """
    if min(words, width) < 1:
        raise SpecError(f"A language model has at least one word and a width of 1, but got {words} and {width}.")
    genotype = _genotype(cell)
    with drawing_from(seed):
        return LanguageModel(genotype.recurrent, genotype.concat, words=words, width=width, **dropouts)


def _genotype(cell: Architecture | Genotype) -> Genotype:
    if isinstance(cell, Architecture):
        if cell.space != NAME:
            raise SpecError(f"Language models are built from architectures of {NAME}, but got {cell}.")
        return Genotype(cell_of(darts_rnn().admit(cell)), NODES_1_TO_8)
    states = 1 + len(cell.recurrent)
    for node, (name, state) in enumerate(cell.recurrent, start=1):
        if name not in CHOOSABLE or not 0 <= state < node:
            raise InvalidArchitecture(
                f"Node {node} of a recurrent cell applies one of {', '.join(CHOOSABLE)} to one of the states "
                f"0..{node - 1}, but got {(name, state)}."
            )
    if not cell.concat or not all(0 < state < states for state in cell.concat):
        raise InvalidArchitecture(f"The output of a cell is the mean of some nodes 1..{states - 1}, got {cell.concat}.")
    return cell


def macs_a_word(network: LanguageModel) -> int:
    """Multiply-accumulates of the products of matrices for one word of one text."""
    return sum(weight.numel() for weight in (*network.cell.parameters(), network.embedding))
