"""Sentences with labels: from a search over small networks to files that carry their words, and a page.

Run: python examples/own_sentences.py
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

import ogive

SAID = {"good": ("great", "lovely", "fine"), "bad": ("awful", "dull", "poor")}

drawn = np.random.default_rng(0)
labels = ["good", "bad"] * 40
texts = [f"a {drawn.choice(SAID[label])} film, and {drawn.choice(['short', 'long'])}" for label in labels]
lines = ["review,verdict", *(f'"{text}",{label}' for text, label in zip(texts, labels, strict=True))]
Path("reviews.csv").write_text("\n".join([*lines, ""]))
data = "sentences:reviews.csv(text=review, label=verdict, length=12)"

found = ogive.search(
    space="textcnn", data=data, strategy="random", evaluator="trained(epochs=3)", budget=2, out="reviews"
)
print(ogive.train(found, recipe="epochs=8")["reached"])
ogive.export(found, formats=["torch"])
subprocess.run([sys.executable, "reviews/artifacts/export/winner.py", "a lovely film"], check=True)
print(ogive.report(found))
