"""Multilayer perceptrons of the space mlp, for rows of numbers, and for whatever else is laid flat as one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["Perceptron"]

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
NORMALISATIONS = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class Layer(nn.Module):
    """A linear map, normalisation, activation and dropout; with a shortcut, a sum with what came in."""

    def __init__(
        self, inputs: int, width: int, activation: str, normalisation: str, dropout: float, shortcut: bool
    ) -> None:
        super().__init__()
        plain = normalisation == "none"
        self.linear = nn.Linear(inputs, width)
        self.norm = nn.Identity() if plain else NORMALISATIONS[normalisation](width)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(dropout)
        self.around: nn.Module | None = None
        if shortcut:
            self.around = nn.Identity() if inputs == width else nn.Linear(inputs, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Rows (N, inputs) to rows (N, width)."""
        y: Tensor = self.dropout(self.activation(self.norm(self.linear(x))))
        return y if self.around is None else self.around(x) + y


class Perceptron(nn.Module):
    """Layers of `widths`, then a linear map to `classes` outputs; `residual` leads around all layers but the first."""

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        classes: int,
        activation: str = "relu",
        normalisation: str = "none",
        dropout: float = 0.0,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "inputs": inputs,
            "widths": tuple(widths),
            "classes": classes,
            "activation": activation,
            "normalisation": normalisation,
            "dropout": dropout,
            "residual": residual,
        }
        layers = []
        for place, width in enumerate(widths):
            layers.append(Layer(inputs, width, activation, normalisation, dropout, residual and place > 0))
            inputs = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, classes) of rows (N, inputs), or of images with so many numbers."""
        outputs: Tensor = self.head(self.layers(x.flatten(1)))
        return outputs
