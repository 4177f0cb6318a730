"""Signals of several channels: from a search over small one-dimensional networks to files and a page.

Run: python examples/own_signals.py
"""

import numpy as np

import ogive

drawn = np.random.default_rng(0)
times = np.linspace(0, 1, 50)
labels = np.tile(["slow", "fast"], 40)
waves = [np.sin(2 * np.pi * (2 if label == "slow" else 5) * times + drawn.uniform(0, 6)) for label in labels]
noise = drawn.normal(size=(80, 50))
np.savez("waves.npz", x=np.stack([waves, noise], axis=1), y=labels)  # 80 signals of 2 channels and 50 points

data = "arrays:waves.npz"
found = ogive.search(space="conv1d", data=data, strategy="random", evaluator="trained(epochs=3)", budget=2, out="waves")
print(ogive.train(found, recipe="epochs=12")["reached"])
ogive.export(found, formats=["torch"])
print(ogive.report(found))
