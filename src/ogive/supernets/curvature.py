"""How sharply the validation loss bends in the architecture parameters: the sign by which R-DARTS stops a search.

Zela et al., "Understanding and Robustifying Differentiable Architecture Search", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["bends_too_much", "largest_eigenvalue"]

WINDOW = 5  # automl/RobustDARTS: eigenvalues in an average
APART = 4  # the same: measurements between the two averages that are compared


def largest_eigenvalue(
    parameters: Sequence[Tensor], loss: Callable[[], Tensor], draw: torch.Generator, steps: int = 12
) -> float:
    """The largest eigenvalue of the Hessian of a loss, by `steps` of Lanczos's method from a random direction.

    Products with the Hessian are exact. With as many steps as parameters the eigenvalue is, too.
    """
    gradients = torch.autograd.grad(loss(), list(parameters), create_graph=True)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    vector = torch.randn(len(flat), generator=draw, dtype=torch.float64).to(flat)
    basis = [vector / vector.norm()]
    projected = np.zeros((steps, steps))
    for step in range(min(steps, len(flat))):
        found: Sequence[Tensor | None] = torch.autograd.grad(
            flat, list(parameters), basis[-1], retain_graph=True, allow_unused=True
        )
        pairs = zip(parameters, found, strict=True)
        image = torch.cat([(torch.zeros_like(one) if own is None else own).flatten() for one, own in pairs])
        # Against all directions so far, and twice: rounding would bring the first ones back.
        for _ in range(2):
            for place, direction in enumerate(basis):
                share = float(image @ direction)
                projected[place, step] += share
                image = image - share * direction
        length = float(image.norm())
        if length < 1e-10 or step + 1 == min(steps, len(flat)):
            projected = projected[: step + 1, : step + 1]
            break
        basis.append(image / length)
    return float(np.linalg.eigvalsh(projected, UPLO="U")[-1])


def bends_too_much(eigenvalues: Sequence[float], most: float, least: int) -> bool:
    """Whether the average of the last eigenvalues is more than `most` times that of `APART` measurements before.

    Nothing is said until the earlier of the two has `least` measurements.
    """
    before = len(eigenvalues) - APART
    if before < max(least, 1):
        return False
    now, then = (float(np.mean(eigenvalues[max(0, end - WINDOW) : end])) for end in (len(eigenvalues), before))
    return then > 0 and now / then > most
