from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from ogive.core.errors import UnknownName
from ogive.scores import SCORES, score_function


@pytest.mark.parametrize("name", list(SCORES))
def test_every_score_scores_an_ordinary_network(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    images = torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    assert isinstance(score_function(name)(network, images), float)


def test_the_baselines_are_counts() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(4 * 36, 10))
    images = torch.zeros(2, 3, 6, 6)
    assert score_function("params")(network, images) == 3 * 4 * 9 + 144 * 10 + 10
    assert score_function("macs")(network, images) == 3 * 4 * 9 * 36 + 144 * 10


def test_an_unknown_score_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'naswot'"):
        score_function("naswott")


def test_naming_the_scores_does_not_import_torch() -> None:
    code = "import sys, ogive.scores; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
