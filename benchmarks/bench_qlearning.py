"""Q-learning of blocks: sampling and learning, replay included, beside a plain table of dictionaries.

``make bench ARGS="-k qlearning"`` prints processor seconds on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import plain_qlearning
from partners import seconds

from ogive.core.rng import Seed
from ogive.spaces.blockqnn import blockqnn, layers_of
from ogive.strategies.qlearning import QLearning

LAYERS, BATCH, ROUNDS = 10, 64, 60
LEAST_A_SECOND = 10_000


def test_qlearning_writes_and_learns_many_blocks_a_second(show: Callable[[str], None]) -> None:
    """Blocks of at most 10 layers at an exploration of 0.5; each is written, learnt, and one more learnt again."""
    rates: dict[str, list[float]] = {"plain": [], "ogive": []}
    for _ in range(3):
        ours = QLearning(blockqnn(layers=LAYERS), Seed(0), batch=BATCH, replayed=BATCH)
        ours.learn([(tuple(choices), 0.5) for choices in ours._drawn(BATCH, 1.0).tolist()])
        spent = seconds(partial(_ours, ours))
        rates["ogive"].append(ROUNDS * BATCH / spent)
        plain, rng = plain_qlearning.PlainTable(LAYERS), np.random.default_rng(0)
        spent = seconds(partial(_plain, plain, rng))
        rates["plain"].append(ROUNDS * BATCH / spent)
    best = {name: max(found) for name, found in rates.items()}
    show(f"Q-learning: {best['ogive']:,.0f} blocks a second, plain {best['plain']:,.0f}")
    assert best["ogive"] >= LEAST_A_SECOND
    assert best["ogive"] > best["plain"]


def test_qlearning_agrees_with_the_plain_one() -> None:
    """The same blocks and rewards give the same values."""
    space, rng = blockqnn(layers=6), np.random.default_rng(1)
    ours, plain = QLearning(space, Seed(0), replayed=0), plain_qlearning.PlainTable(6)
    for _ in range(200):
        arch, reward = space.sample(rng), float(rng.random())
        ours.learn([(tuple(map(int, arch.choices)), reward)])
        layers = list(layers_of(arch))
        plain.learnt([*layers, *([None] if len(layers) < 6 else [])], reward)
    assert max(float(values.max()) for values in ours._values_SA) == max(
        max(values.values()) for values in plain.values.values()
    )


def _ours(strategy: QLearning) -> None:
    rng = np.random.default_rng(0)
    for _ in range(ROUNDS):
        blocks = strategy._written(BATCH, 0.5)
        strategy.learn([(choices, float(reward)) for choices, reward in zip(blocks, rng.random(BATCH), strict=True)])


def _plain(table: plain_qlearning.PlainTable, rng: np.random.Generator) -> None:
    memory: list[tuple[plain_qlearning.Block, float]] = []
    for _ in range(ROUNDS):
        fresh = [(table.written(0.5, rng), float(rng.random())) for _ in range(BATCH)]
        for block, reward in fresh:
            table.learnt(block, reward)
        for place in rng.integers(len(memory), size=BATCH).tolist() if memory else []:
            table.learnt(*memory[place])
        memory += fresh
