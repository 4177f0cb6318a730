"""A task of one's own: grades in an order, and how far off they are told. Run: python examples/own_task.py."""

import torch

import ogive
from ogive.training.supervised import Accuracy
from ogive.training.tasks.prediction import Prediction


class Grading(Prediction):
    """Inputs that have grades in an order."""

    name, score = "grading", Accuracy()  # the score is watched while a network trains
    metrics = (ogive.Metric("val_off", "grades", "smaller", "mean distance from the right grade"),)

    def loss(self, outputs, targets, recipe):
        return (outputs.softmax(1) * (torch.arange(outputs.shape[1]) - targets[:, None]).abs()).sum(1).mean()

    def measured(self, network, part, recipe, *, seed):
        split = self.data.test if part == "test" else self.data.val
        found = network.eval()(self.data.normalised(split.images)).argmax(1)
        return {f"{part}_off": float((found - split.labels).abs().double().mean())}

    def described(self, network, recipe, measured):
        return {"reached": f"{measured['test_off']:.2f} grades off", **self.counted(network)}


if __name__ == "__main__":
    task, size = Grading(ogive.data("digits", limit=300)), {"channels": 4, "cells": 1}
    print(ogive.search(space="nasbench201", task=task, evaluator="trained(epochs=2)", budget=2, **size).best)
