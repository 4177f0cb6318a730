"""A score of one's own beside others. Run: python examples/own_score.py (ogive score --plugin takes it too)."""

from pathlib import Path

import torch

import ogive
from ogive.plugins import use


def spread(network, images):
    """How far apart an untrained network puts different images: the median distance of its answers, as a logarithm."""
    with torch.no_grad():
        answers_BC = network.eval()(images)
    return torch.pdist(answers_BC).median().log().item()  # -inf, which ranks last, where all answers are alike


PARTS = {"score.spread": spread}  # kind.name: what it is; so `--plugin` and training_free(spread) know it

if __name__ == "__main__":
    use(Path(__file__))
    parts = {"space": "nasbench201", "data": "digits(limit=200)", "channels": 4, "cells": 1}
    table = ogive.score(sample=6, proxies=["spread", "naswot", "params"], batch_size=32, **parts)
    for row in sorted(table.rows, key=lambda row: row.scores[0], reverse=True):
        print(row.arch, [round(score, 2) for score in row.scores])
    print(ogive.search(evaluator="training_free(spread)", strategy="random", budget=4, **parts))
