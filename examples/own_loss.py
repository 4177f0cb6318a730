"""A loss and networks of one's own: searched, trained and taken away. Run: python examples/own_loss.py."""

import tempfile

import torch.nn.functional as F
from torch import Tensor

import ogive
from ogive.training.recipe import Recipe
from ogive.training.tasks.classification import Classification
from ogive.winner import export_winner, train_winner


class Focal(Classification):
    """Cross-entropy that looks away from what is easy (Lin et al., ICCV 2017, eq. 4, with a focus of 2)."""

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        entropy = F.cross_entropy(outputs, targets, reduction="none")
        return ((1 - (-entropy).exp()) ** 2 * entropy).mean()


if __name__ == "__main__":
    task = Focal(ogive.data("digits", limit=300))
    with tempfile.TemporaryDirectory() as folder:
        options = {"evaluator": "trained(epochs=2, threads=1)", "strategy": "random", "channels": 4, "cells": 1}
        ogive.search(space="nasbench201", task=task, budget=3, out=f"{folder}/run", **options)
        print(train_winner(f"{folder}/run", task=task, recipe="epochs=4")["reached"])
        print(export_winner(f"{folder}/run", task=task, formats=["torch"])[0].largest_difference <= 1e-4)
