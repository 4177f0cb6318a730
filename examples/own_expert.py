"""A search for blocks like those of a network of one's own. Run: python examples/own_expert.py."""

import torch
from torch import nn

import ogive
from ogive.networks.codes import code_of
from ogive.spaces.blockqnn import write_layers
from ogive.topology import Imitation


class Expert(nn.Module):
    """A 5×5 and two 3×3 convolutions, added to their input."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

    def forward(self, x):
        return torch.relu(x + self.wide(x) + self.deep(x))


if __name__ == "__main__":
    block = code_of(Expert(), (8, 16, 16))
    print(write_layers(block))
    parts = {"space": ogive.space("blockqnn(layers=6)"), "data": ogive.data("digits", limit=200)}
    like = Imitation(expert=block, metric="naswot", weight=100, form="distance")
    size = {"budget": 20, "channels": 4, "cells": 1}
    run = ogive.search(**parts, strategy="random", evaluator="training_free(naswot)", objective=like, **size)
    print(parts["space"].format(run.best.arch), like.likeness(run.best.arch))
