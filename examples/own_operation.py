"""One operation more in published cells: searched in a supernet, and trained. Run: python examples/own_operation.py."""

from torch import nn

import ogive


class Shuffled:
    """A grouped convolution whose channels are shuffled (Zhang et al., "ShuffleNet", CVPR 2018)."""

    name = "shuffled_3x3"

    def __call__(self, channels, stride):
        convolution = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=2, bias=False)
        return nn.Sequential(nn.ReLU(), convolution, nn.ChannelShuffle(2), nn.BatchNorm2d(channels))


if __name__ == "__main__":
    size = {"channels": 4, "cells": 3}
    for name in ("nasbench201", "darts"):
        space = ogive.space(name, operation=Shuffled())
        search = {"strategy": "darts(epochs=3, alpha_learning_rate=0.1)", "evaluator": "trained(epochs=2)"}
        found = ogive.search(space=space, **search, data="digits(limit=100)", budget=3, **size)
        print(space.format(found.best.arch), found.best.metrics["val_acc"])
