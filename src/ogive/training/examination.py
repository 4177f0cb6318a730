"""What a trained classifier answers on its test inputs, as a record that a page can show without the data."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from ogive.answers import Answers, Mistake, Tally
from ogive.training.data import Data
from ogive.training.supervised import outputs_of

__all__ = ["MISTAKES", "PAIRS", "answered", "answered_labels"]

MISTAKES = 20  # with a small picture each, they take some hundred kilobytes of a page at most
PAIRS = 10_000  # of classes that are mixed up; of a thousand classes most pairs never are


def answered(network: nn.Module, data: Data) -> Answers:
    """The answers of a network whose outputs (N, classes) are logits of one class each."""
    device = next(network.parameters()).device
    said, shares = [], []
    for outputs, _ in outputs_of(network, data.test, data, device):
        share_N, said_N = outputs.softmax(1).max(1)
        said.append(said_N.cpu())
        shares.append(share_N.double().nan_to_num().cpu())
    said_N, share_N, truth_N = torch.cat(said), torch.cat(shares), data.test.labels.cpu()
    pairs = Counter(zip(truth_N.tolist(), said_N.tolist(), strict=True))
    wrong = (said_N != truth_N).nonzero()[:, 0]
    surest = wrong[share_N[wrong].argsort(descending=True, stable=True)[:MISTAKES]].tolist()
    classes = data.classes
    return Answers(
        data.kind,
        len(truth_N),
        _tallies(classes, truth_N, said_N),
        tuple((truth, answer, count) for (truth, answer), count in pairs.most_common(PAIRS)),
        tuple(Mistake(classes[truth_N[at]], classes[said_N[at]], float(share_N[at]), data.shown(at)) for at in surest),
    )


def _tallies(classes: tuple[str, ...], truth_N: Tensor, said_N: Tensor) -> tuple[Tally, ...]:
    right = truth_N[said_N == truth_N]
    counts = (values.bincount(minlength=len(classes)).tolist() for values in (truth_N, right, said_N))
    return tuple(Tally(*row) for row in zip(classes, *counts, strict=True))


def answered_labels(network: nn.Module, data: Data) -> Answers:
    """The answers of a network whose outputs (N, K) are logits of labels, of which an image may have several."""
    device = next(network.parameters()).device
    logits_NK = torch.cat([outputs.double().cpu() for outputs, _ in outputs_of(network, data.test, data, device)])
    said_NK, truth_NK = logits_NK > 0, data.test.labels.cpu() > 0.5
    # How sure it is of the label that it is most wrong about.
    sure_N = (logits_NK.abs().sigmoid() * (said_NK != truth_NK)).amax(1).nan_to_num()
    wrong = (said_NK != truth_NK).any(1).nonzero()[:, 0]
    surest = wrong[sure_N[wrong].argsort(descending=True, stable=True)[:MISTAKES]].tolist()

    def names(labels_K: Tensor) -> str:
        return (
            ", ".join(name for name, is_there in zip(data.classes, labels_K.tolist(), strict=True) if is_there)
            or "none"
        )

    counts = (values.sum(0).tolist() for values in (truth_NK, truth_NK & said_NK, said_NK))
    return Answers(
        data.kind,
        len(truth_NK),
        tuple(Tally(*row) for row in zip(data.classes, *counts, strict=True)),
        None,
        tuple(Mistake(names(truth_NK[at]), names(said_NK[at]), float(sure_N[at]), data.shown(at)) for at in surest),
    )
