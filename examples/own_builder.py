"""Networks of a space of one's own, from the search to files and a page. Run: python examples/own_builder.py."""

import torch
from torch import nn

import ogive
from ogive.training.tasks.classification import Classification

WIDTHS = ("8", "16", "32")


def draw(arch):
    ops = ("input", *(f"linear{WIDTHS[choice]}" for choice in arch.choices), "output")
    return ogive.Graph(ops, frozenset((place, place + 1) for place in range(3)))


def build(arch, seed):
    first, second = (int(WIDTHS[choice]) for choice in arch.choices)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # noqa: TID251 - forked
        layers = nn.Linear(64, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 10)
    return nn.Sequential(nn.Flatten(), *layers)


if __name__ == "__main__":
    space = ogive.SearchSpace("layers", (ogive.Choice("first", WIDTHS), ogive.Choice("second", WIDTHS)), draw)
    task = Classification(ogive.data("digits", limit=300), builder=build)
    found = ogive.search(space=space, task=task, evaluator="trained(epochs=2)", budget=3, out="layers", resume=True)
    print(ogive.train(found, task=task, recipe="epochs=20")["reached"])
    print(ogive.export(found, task=task, formats=["export"]), ogive.report(found))
