"""A controller: an LSTM that writes architectures word by word, and learns by policy gradient which words do well.

Zoph and Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, in the form of CTNAS (Chen et al.,
CVPR 2021; chenyaofo/CTNAS, ctnas/core/controller): one layer of 64 units, each word read before the next one is
written, and nodes of a cell chosen by attention. What may be written where is said by masks, so that nothing illegal
has a probability. Shapes: B samples, T places, V words, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn, optim

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Closed
from ogive.core.errors import SpecError
from ogive.core.space import Choice, SearchSpace
from ogive.networks.build import drawing_from
from ogive.spaces import darts, nasbench101, ofa_mobilenetv3
from ogive.spaces.extended import base_of

__all__ = ["Controller", "Grammar", "Policy", "PolicyGradient", "Script", "script_of"]

Words = tuple[int, ...]
Bools = npt.NDArray[np.bool_]

HIDDEN = 64  # chenyaofo/CTNAS, ctnas/core/controller, as is the range of all weights at first
RANGE = 0.1
# Where so many draws in a row are no architecture, the policy has left the space: then a uniform one is written.
PATIENCE = 1000
CHUNK = 512  # sentences that are written at once


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """What one controller may write: at each of T places one of V words.

    `nodes` (V,) are the words that name nodes, chosen by attention. `opened` (first words, T, V) says which words may
    stand where, given the first one; a single row where that does not matter. `differs` (T,) is the place of an earlier
    word that must not be repeated, -1 for none. `skips` says of a place the place of an earlier word and those of its
    words with which nothing is decided here, so that only the first open word is left.
    """

    nodes: Bools
    opened: Bools
    differs: tuple[int, ...]
    skips: Mapping[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.opened[:, 0] == self.opened[0, 0]).all() or not self.opened.any(axis=2).all():
            raise SpecError("A grammar opens a word at every place, and at the first the same whatever comes of it.")

    @property
    def places(self) -> int:
        """How many words are written."""
        return int(self.opened.shape[1])

    def always_open(self, place: int) -> npt.NDArray[np.int64] | None:
        """The words that may stand at a place, where none is a node and it is the same whatever came before."""
        if len(self.opened) > 1 or self.differs[place] >= 0 or place in self.skips:
            return None
        words = np.flatnonzero(self.opened[0, place])
        return None if self.nodes[words].any() else words


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """How architectures of a space are written: by one controller for each grammar, whose words stand in a row.

    `read` makes choices of all words; `write` is its inverse, where every combination of words is not legal.
    """

    space: SearchSpace
    grammars: tuple[Grammar, ...]
    read: Callable[[Words], tuple[int, ...]]
    write: Callable[[Architecture], Words] | None = None
    # Whether the first input is trained, and not zero.
    begins: bool = False
    # The first word of each place, where a word is a choice of the variable of its place.
    starts: tuple[int, ...] | None = None

    def architecture(self, words: Words) -> Architecture:
        """The architecture that words spell."""
        return Architecture(self.space.name, self.read(words))

    def architectures(self, words: Sequence[Words]) -> list[Architecture]:
        """Those that several sentences spell."""
        if self.starts is None or not words:
            return [self.architecture(one) for one in words]
        choices_BT = np.array(words, np.int64) - np.array(self.starts, np.int64)
        return [Architecture(self.space.name, tuple(row)) for row in choices_BT.tolist()]

    def is_legal(self, words: Words) -> bool:
        """Whether there is one. Rows of a closed world are too few to hit: what is outside becomes the nearest."""
        free = self.write is None or self.space.is_free or isinstance(self.space, Closed)
        return free or self.space.is_legal(self.read(words))


class Controller(nn.Module):
    """Writes sentences of one grammar.

    The LSTM reads the embedding of what was written last. Words that are nodes get v · tanh(W_e e + W_h h) of their
    embedding e, all others a linear layer on h; what is not open gets nothing.
    """

    def __init__(self, grammar: Grammar, *, hidden: int = HIDDEN, begins: bool = False) -> None:
        super().__init__()
        self.grammar, self.hidden = grammar, hidden
        words, nodes = len(grammar.nodes), int(grammar.nodes.sum())
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.embedding = nn.Embedding(words, hidden)
        self.start = nn.Parameter(torch.empty(hidden)) if begins else None
        self.logits = nn.Linear(hidden, words - nodes) if nodes < words else None
        self.of_node = nn.Linear(hidden, hidden, bias=False) if nodes else None
        self.of_state = nn.Linear(hidden, hidden, bias=False) if nodes else None
        self.attention = nn.Linear(hidden, 1, bias=False) if nodes else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -RANGE, RANGE)
        self._nodes = torch.from_numpy(np.flatnonzero(grammar.nodes))
        self._order = torch.from_numpy(np.argsort(np.argsort(grammar.nodes, kind="stable"), kind="stable"))

    def sample(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """So many sentences, drawn independently, (B, T).

        In NumPy, which takes a third of the time for so small matrices; some hundred at once stay in the caches.
        """
        weights = _Weights.of(self)
        sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
        parts = [self._sampled(weights, size, rng) for size in sizes]
        return np.concatenate(parts) if parts else np.zeros((0, self.grammar.places), np.int64)

    def _sampled(self, weights: _Weights, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        h_BH, c_BH = np.zeros((2, count, self.hidden), np.float32)
        words_BT = np.zeros((count, self.grammar.places), np.int64)
        told_BG = np.broadcast_to(weights.begun, (count, len(weights.begun)))
        for place in range(self.grammar.places):
            h_BH, c_BH = weights.step(told_BG, h_BH, c_BH)
            open_V = self.grammar.always_open(place)
            if open_V is None:
                opened_BV = self._open_at(place, words_BT)
                drawn_B = _drawn(weights.scores(h_BH), rng, opened_BV)
            else:  # a few words, the same whatever was written
                drawn_B = open_V[_drawn(weights.scores(h_BH, open_V), rng)]
            words_BT[:, place] = drawn_B
            told_BG = weights.told[drawn_B]
        return words_BT

    def _open_at(self, place: int, words_BT: npt.NDArray[np.int64]) -> Bools:
        """Which words may stand at a place, (B, V)."""
        branches = words_BT[:, 0] if len(self.grammar.opened) > 1 and place else np.zeros(len(words_BT), np.int64)
        opened_BV: Bools = self.grammar.opened[branches, place]
        if self.grammar.differs[place] >= 0:
            opened_BV[np.arange(len(words_BT)), words_BT[:, self.grammar.differs[place]]] = False
        if place in self.grammar.skips:
            earlier, words = self.grammar.skips[place]
            skipped_B = np.isin(words_BT[:, earlier], words)
            first_B = opened_BV.argmax(axis=1)
            opened_BV[skipped_B] = False
            opened_BV[skipped_B, first_B[skipped_B]] = True
        return opened_BV

    def forward(self, words_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of sentences, and the sums of the entropies of their words, (B,) each, with gradients."""
        inputs_BTH = torch.cat((self._begun(len(words_BT)), self.embedding(words_BT[:, :-1])), dim=1)
        h_BTH, _ = self.lstm(inputs_BTH)
        logs_BTV = torch.log_softmax(self._scored(h_BTH).masked_fill(~self._open(words_BT), -torch.inf), dim=2)
        written_BT = logs_BTV.gather(2, words_BT[..., None])[..., 0]
        # What has no probability adds nothing, and has no gradient.
        finite_BTV = logs_BTV.clamp(min=torch.finfo(logs_BTV.dtype).min)
        return written_BT.sum(1), -(finite_BTV.exp() * finite_BTV).sum((1, 2))

    def _begun(self, count: int) -> Tensor:
        first = torch.zeros(self.hidden) if self.start is None else self.start
        return first.expand(count, 1, self.hidden)

    def _scored(self, h_BTH: Tensor) -> Tensor:
        """Logits of all words, (B, T, V)."""
        parts = []
        if self.logits is not None:
            parts.append(self.logits(h_BTH))
        if self.of_node is not None and self.of_state is not None and self.attention is not None:
            nodes_NH = self.of_node(self.embedding.weight[self._nodes])
            parts.append(self.attention(torch.tanh(nodes_NH + self.of_state(h_BTH)[:, :, None]))[..., 0])
        return torch.cat(parts, dim=2)[..., self._order] if len(parts) > 1 else parts[0]

    def _open(self, words_BT: Tensor) -> Tensor:
        """Which words may stand at each place, (B, T, V)."""
        words = words_BT.numpy()
        return torch.from_numpy(np.stack([self._open_at(place, words) for place in range(words.shape[1])], axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    """A controller's weights as NumPy reads them. G = 4 H gates: of what comes in, is forgotten, is new, goes out.

    What is new comes doubled, so that one sigmoid makes all four: tanh x = 2 σ(2 x) - 1. `begun` (G,) and `told`
    (V, G) are what the first input and each word add to the gates.
    """

    begun: npt.NDArray[np.float32]
    told: npt.NDArray[np.float32]
    recurrent: npt.NDArray[np.float32]
    linear: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None
    nodes: Bools
    attended: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]] | None
    place_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, controller: Controller) -> _Weights:
        """Of a controller as it is now."""
        of = {name: parameter.detach().numpy() for name, parameter in controller.named_parameters()}
        hidden, nodes = controller.hidden, controller.grammar.nodes
        scale = np.repeat(np.array([1, 1, 2, 1], np.float32), hidden)
        bias = (of["lstm.bias_ih_l0"] + of["lstm.bias_hh_l0"]) * scale
        into = of["lstm.weight_ih_l0"].T * scale
        begun = of["start"] @ into + bias if "start" in of else bias
        attended = None
        if "of_node.weight" in of:
            known_NH = of["embedding.weight"][nodes] @ of["of_node.weight"].T
            attended = (known_NH, of["of_state.weight"].T, of["attention.weight"][0])
        linear = (of["logits.weight"], of["logits.bias"]) if "logits.weight" in of else None
        told = of["embedding.weight"] @ into + bias
        return cls(begun, told, of["lstm.weight_hh_l0"].T * scale, linear, nodes, attended, np.cumsum(~nodes) - 1)

    def step(
        self, told_BG: npt.NDArray[np.float32], h_BH: npt.NDArray[np.float32], c_BH: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The next state and cell."""
        gates_BG = h_BH @ self.recurrent
        gates_BG += told_BG
        i, f, g, o = np.split(_sigmoid(gates_BG), 4, axis=1)
        c_BH = f * c_BH
        c_BH += i * _doubled(g)
        next_BH = _doubled(_sigmoid(c_BH + c_BH))
        next_BH *= o
        return next_BH, c_BH

    def scores(
        self, h_BH: npt.NDArray[np.float32], words: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Logits of some words, none of them a node, or of all: (B, V)."""
        if words is not None:
            assert self.linear is not None
            weight, bias = (part[self.place_of[words]] for part in self.linear)
            scores: npt.NDArray[np.float32] = h_BH @ weight.T + bias
            return scores
        scores = np.empty((len(h_BH), len(self.nodes)), np.float32)
        if self.linear is not None:
            scores[:, ~self.nodes] = h_BH @ self.linear[0].T + self.linear[1]
        if self.attended is not None:
            known_NH, of_state, attention = self.attended
            scores[:, self.nodes] = np.tanh(known_NH + (h_BH @ of_state)[:, None]) @ attention
        return scores


def _sigmoid(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """In place; torch takes a third of NumPy's time."""
    torch.from_numpy(x).sigmoid_()
    return x


def _doubled(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The hyperbolic tangent of a number whose double's sigmoid is given; in place."""
    x *= 2
    x -= 1
    return x


def _drawn(
    scores_BV: npt.NDArray[np.float32], rng: np.random.Generator, opened_BV: Bools | None = None
) -> npt.NDArray[np.int64]:
    """One word of each row, (B,), by the softmax of its scores among those that are open."""
    shares_BV = np.exp(scores_BV - scores_BV.max(axis=1, keepdims=True))
    if opened_BV is not None:
        shares_BV = np.where(opened_BV, shares_BV, 0)
    edges_BV = shares_BV.cumsum(axis=1, dtype=np.float64)
    drawn_B1 = rng.random((len(edges_BV), 1)) * edges_BV[:, -1:]
    # The product may be rounded up to the last edge, which the last open word has first.
    last_B = edges_BV.argmax(axis=1) if opened_BV is not None else edges_BV.shape[1] - 1
    found: npt.NDArray[np.int64] = np.minimum((drawn_B1 >= edges_BV).sum(axis=1), last_B)
    return found


class Policy(nn.Module):
    """A distribution over the architectures of a space: one controller for each grammar of its script."""

    def __init__(self, script: Script, *, seed: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.script = script
        with drawing_from(seed):
            self.controllers = nn.ModuleList(
                Controller(grammar, hidden=hidden, begins=script.begins) for grammar in script.grammars
            )

    def sample(self, count: int, rng: np.random.Generator) -> list[Words]:
        """Words of so many legal architectures, drawn independently."""
        found: list[Words] = []
        for _ in range(PATIENCE):
            found += filter(self.script.is_legal, self._drawn(count - len(found), rng))
            if len(found) == count:
                return found
        assert self.script.write is not None
        uniform = (self.script.space.sample(rng) for _ in range(count - len(found)))
        return found + list(map(self.script.write, uniform))

    def forward(self, words: Sequence[Words]) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of what was written, (B,) each."""
        words_BT = torch.tensor(words)
        widths = [grammar.places for grammar in self.script.grammars]
        parts = [one(part) for one, part in zip(self.controllers, words_BT.split(widths, dim=1), strict=True)]
        return sum(part[0] for part in parts), sum(part[1] for part in parts)

    def _drawn(self, count: int, rng: np.random.Generator) -> list[Words]:
        parts = [one.sample(count, rng) for one in self.controllers if isinstance(one, Controller)]
        return list(map(tuple, np.concatenate(parts, axis=1).tolist()))


class PolicyGradient:
    """Steps of Adam along reward × ∇ log π + entropy_weight × ∇ entropy (Williams, Machine Learning 8, 1992)."""

    def __init__(
        self,
        policy: Policy,
        *,
        learning_rate: float,
        entropy_weight: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        self.policy, self.entropy_weight = policy, entropy_weight
        self._optimizer = optim.Adam(
            policy.parameters(), lr=learning_rate, betas=betas, weight_decay=weight_decay, foreach=True
        )

    def step(self, words: Sequence[Words], rewards: Sequence[float]) -> float:
        """Make what was written more likely by as much as its reward; the mean entropy before."""
        logs_B, entropies_B = self.policy(words)
        loss = -(torch.tensor(rewards) * logs_B + self.entropy_weight * entropies_B).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return float(entropies_B.detach().mean())


# -- scripts ----------------------------------------------------------------------------------------------------------


def script_of(space: SearchSpace) -> Script:
    """How architectures of a space are written: as published where that is known, else a word for each variable.

    NAS-Bench-101: 18 words, always a legal cell: the number of inner nodes, a node that each of them reads and its
    operation, one that the output reads, and more edges as pairs of nodes, where two equal ones are none. `darts`: a
    controller for each cell, which writes two states and operations for each node; other than in the public code the
    states differ, and `none` is closed, as it is no choice of the space. `ofa_mobilenetv3`: 45 words, depths first;
    other than in the public code, layers that these skip are no decision, so that each network is written in one way
    and only what there is has an entropy. SpecError for a space with a real variable.
    """
    return _SCRIPTS.get(base_of(space.name), _by_variables)(space)


def _by_variables(space: SearchSpace) -> Script:
    """A word for each variable; variables with the same options share their words."""
    kinds: dict[tuple[str, ...], int] = {}
    starts: list[int] = []
    total = 0
    for variable in space.variables:
        if not isinstance(variable, Choice):
            raise SpecError(f"A controller writes options, but {space.name} has variables without options.")
        if variable.options not in kinds:
            kinds[variable.options], total = total, total + len(variable.options)
        starts.append(kinds[variable.options])
    opened = np.zeros((1, len(starts), total), bool)
    for place, (start, variable) in enumerate(zip(starts, space.variables, strict=True)):
        assert isinstance(variable, Choice)
        opened[0, place, start : start + len(variable.options)] = True

    def read(words: Words) -> tuple[int, ...]:
        return tuple(word - start for word, start in zip(words, starts, strict=True))

    def write(arch: Architecture) -> Words:
        return tuple(int(choice) + start for choice, start in zip(arch.choices, starts, strict=True))

    grammar = Grammar(np.zeros(total, bool), opened, (-1,) * len(starts))
    # Options of several kinds begin with a word of their own.
    return Script(space, (grammar,), read, write, begins=len(kinds) > 1, starts=tuple(starts))


def _nasbench101(space: SearchSpace) -> Script:
    inner, edges = nasbench101.INNER, nasbench101.MOST_EDGES
    op, node = inner, inner + len(nasbench101.OPS)
    total, places = node + nasbench101.VERTICES, 2 * edges
    opened = np.zeros((inner, places, total), bool)
    opened[:, 0, :inner] = True
    for branch in range(inner):
        count = branch + 1
        for k in range(count):
            opened[branch, 1 + 2 * k, node : node + k + 1] = True
            opened[branch, 2 + 2 * k, op:node] = True
        opened[branch, 1 + 2 * count, node : node + count + 1] = True
        opened[branch, 2 + 2 * count :, node : node + count + 2] = True
    # Only the first row of words is open at the first place, whatever follows; the rest of a row is never read there.
    nodes = np.arange(total) >= node

    def read(words: Words) -> tuple[int, ...]:
        count, *rest = words
        count += 1
        ends = [word - node for word in (*rest[: 2 * count : 2], *rest[2 * count :])]
        operations = [word - op for word in rest[1 : 2 * count : 2]]
        pairs = [(end, k + 1) for k, end in enumerate(ends[: count + 1])]
        pairs += zip(ends[count + 1 :: 2], ends[count + 2 :: 2], strict=True)
        # The output is the last vertex, whatever the number of those before it.
        where = [*range(count + 1), nasbench101.VERTICES - 1]
        found = {(where[min(pair)], where[max(pair)]) for pair in pairs}
        bits = (int(pair in found) for pair in nasbench101.PAIRS)
        return (*bits, *operations, *[0] * (inner - count))

    return Script(space, (Grammar(nodes, opened, (-1,) * places),), read)


def _darts(space: SearchSpace) -> Script:
    choosable = space.variables[1]
    assert isinstance(choosable, Choice)
    states = darts.NODES + 1  # the last node is read by no other
    none, total = states, states + 1 + len(choosable.options)
    opened = np.zeros((1, 4 * darts.NODES, total), bool)
    differs = [-1] * 4 * darts.NODES
    for k in range(darts.NODES):
        opened[0, 4 * k : 4 * k + 4 : 2, : 2 + k] = True
        opened[0, 4 * k + 1 : 4 * k + 4 : 2, none + 1 :] = True
        differs[4 * k + 2] = 4 * k
    nodes = np.arange(total) < states

    def read(words: Words) -> tuple[int, ...]:
        choices: list[int] = []
        for start in range(0, len(words), 4):
            (low, first), (high, second) = sorted((words[start : start + 2], words[start + 2 : start + 4]))
            pairs = darts.PAIRS[start // 4 % darts.NODES]
            choices += [pairs.index((low, high)), first - none - 1, second - none - 1]
        return tuple(choices)

    return Script(space, (Grammar(nodes, opened, tuple(differs)),) * len(darts.KINDS), read)


def _ofa_mobilenetv3(space: SearchSpace) -> Script:
    script = _by_variables(space)
    (grammar,) = script.grammars
    units, layers = ofa_mobilenetv3.UNITS, ofa_mobilenetv3.LAYERS
    # Depths are the first kind of words: those of a unit that end before a layer.
    skips = {
        units + kind * units * layers + unit * layers + layer: (
            unit,
            tuple(word for word, depth in enumerate(ofa_mobilenetv3.DEPTHS) if depth <= layer),
        )
        for kind in range(2)
        for unit in range(units)
        for layer in range(min(ofa_mobilenetv3.DEPTHS), layers)
    }
    return replace(script, grammars=(replace(grammar, skips=skips),))


_SCRIPTS: dict[str, Callable[[SearchSpace], Script]] = {
    nasbench101.NAME: _nasbench101,
    darts.NAME: _darts,
    ofa_mobilenetv3.NAME: _ofa_mobilenetv3,
}
