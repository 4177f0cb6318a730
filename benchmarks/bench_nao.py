"""NAO: the training in batches of sequences against one that loops over single architectures.

``make bench ARGS="-k nao"`` prints processor seconds on one thread.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import plain_nao
import torch
from partners import seconds

from ogive.features import Tokens
from ogive.networks.build import drawing_from
from ogive.predictors.nao import NaoSettings, train_autoencoder
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.threads import threads

SPACE = nasbench201()
LABELS = 78  # 0.5 % of the space
EPOCHS = 3
RATIO = 3


def test_nao_agrees_with_the_plain_training_and_is_faster(show: Callable[[str], None]) -> None:
    rng = np.random.default_rng(0)
    tokens = Tokens(space=SPACE)([SPACE.sample(rng) for _ in range(LABELS)]).astype(np.int64)
    targets = rng.random(LABELS)
    # Masks of a dropout cannot be the same in both.
    settings = NaoSettings(epochs=EPOCHS, head_dropout=0.0, symmetric=False)
    with drawing_from(0), threads(1):
        ours = settings.network(SPACE)
        plain, warm = copy.deepcopy(ours), copy.deepcopy(ours)
        train_autoencoder(warm, tokens, targets, settings, np.random.default_rng(0))
        own_s = seconds(lambda: train_autoencoder(ours, tokens, targets, settings, np.random.default_rng(0)))
        plain_s = seconds(lambda: plain_nao.train(plain, tokens, targets, settings, np.random.default_rng(0)))
        with torch.no_grad():
            read = torch.from_numpy(tokens)
            found, expected = ours(read, read), plain(read, read)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    ratio = plain_s / own_s
    show(
        f"nao, an epoch of {LABELS} labels: {own_s / EPOCHS * 1000:.0f} ms, plain {plain_s / EPOCHS * 1000:.0f} ms, "
        f"{ratio:.1f} x faster"
    )
    assert ratio >= RATIO
