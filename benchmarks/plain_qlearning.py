"""Q-learning of blocks as elenathfgs/BlockQNN_Keras has it: a dictionary of values, a block and a layer at a time."""

from __future__ import annotations

import numpy as np

from ogive.spaces.blockqnn import Layer, actions

__all__ = ["PlainTable"]

Block = list[Layer | None]


class PlainTable:
    """Values by (index, layer) and by what may follow."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.values: dict[tuple[int, Layer | None], dict[Layer | None, float]] = {}

    def of(self, index: int, layer: Layer | None) -> dict[Layer | None, float]:
        """The values of all that may follow a layer at an index."""
        if (index, layer) not in self.values:
            ends: list[Layer | None] = [None] if index else []
            self.values[index, layer] = dict.fromkeys([*ends, *actions(index + 1)], 0.5)
        return self.values[index, layer]

    def written(self, exploration: float, rng: np.random.Generator) -> Block:
        """One block, with its end where it has one."""
        block: Block = []
        while len(block) < self.largest and (not block or block[-1] is not None):
            values = self.of(len(block), block[-1] if block else None)
            if rng.random() < exploration:
                known = list(values)
            else:
                best = max(values.values())
                known = [layer for layer, value in values.items() if value == best]
            block.append(known[int(rng.integers(len(known)))])
        return block

    def learnt(self, block: Block, reward: float, rate: float = 0.01) -> None:
        """The update of one block, the last layer first."""
        for place in range(len(block) - 1, -1, -1):
            values = self.of(place, block[place - 1] if place else None)
            gained = reward
            if place + 1 < len(block):
                gained = reward / len(block) + max(self.of(place + 1, block[place]).values())
            values[block[place]] = (1 - rate) * values[block[place]] + rate * gained
