"""Images with several labels each: from a search to files that say which are there, and a page.

Run: python examples/own_labels.py
"""

import numpy as np

import ogive

drawn = np.random.default_rng(0)
labels = drawn.integers(0, 2, (90, 3)).astype(np.uint8)  # a bright bar above, a bright bar below, a dark column
images = drawn.integers(60, 120, (90, 1, 12, 12)).astype(np.uint8)
images[labels[:, 0] == 1, :, :2] = 250
images[labels[:, 1] == 1, :, -2:] = 250
images[labels[:, 2] == 1, :, :, 5:7] = 0
np.savez("marks.npz", x=images, y=labels)

how = {"evaluator": "trained(epochs=2)", "strategy": "random", "budget": 2, "channels": 4, "cells": 1}
found = ogive.search(space="nasbench201", data="arrays:marks.npz", out="marks", **how)
print(ogive.train(found, recipe="epochs=30")["reached"])
ogive.export(found, formats=["torch"])
print(ogive.report(found))
