"""A gate of one's own in a differentiable search. Run: python examples/own_gate.py."""

from typing import NamedTuple

import torch

import ogive
from ogive.supernets.gates import Mix


class Sharpening(NamedTuple):
    """A softmax whose operations compete harder the longer the search goes on."""

    temperature: float = 1.0

    def __call__(self, alphas_EO, allowed_EO, draw):
        return Mix(self.strengths(alphas_EO, allowed_EO))

    def strengths(self, alphas_EO, allowed_EO):
        logits_EO = alphas_EO if allowed_EO is None else alphas_EO.masked_fill(~allowed_EO, -torch.inf)
        return torch.softmax(logits_EO / self.temperature, dim=1)

    def at(self, share):
        return Sharpening(1.0 - 0.9 * share)


if __name__ == "__main__":
    parts = {"space": ogive.space("nasbench201"), "data": ogive.data("digits", limit=200)}
    strategy = ogive.strategy("darts(epochs=3)", **parts, gate=Sharpening(), channels=4, cells=1)
    print(ogive.search(**parts, strategy=strategy, evaluator="trained", budget=3, channels=4, cells=1).trials[-1].arch)
