"""Search on images of one's own, given as any torch Dataset. Run: python examples/own_data.py."""

import torch
from torch.utils.data import TensorDataset

import ogive
from ogive.training.data import from_dataset


def stripes(count: int, seed: int) -> TensorDataset:
    """Noisy pictures of horizontal and vertical stripes: what your own data set stands for here."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    lines = (torch.arange(8) % 2).float()
    horizontal, vertical = lines[:, None].expand(8, 8), lines[None, :].expand(8, 8)
    clean = torch.where(labels[:, None, None].bool(), horizontal, vertical)
    return TensorDataset((clean + 0.3 * torch.randn(count, 8, 8, generator=generator))[:, None], labels)


def main() -> None:
    data = from_dataset(stripes(200, seed=0), stripes(100, seed=1), name="stripes")
    found = ogive.search(
        space="nasbench201",
        strategy="random",
        evaluator="trained(epochs=4, batch_size=16, threads=1)",
        data=data,
        channels=4,
        cells=1,
        budget=4,
    )
    print(f"{found.best.arch}: {found.best.metrics['val_acc']:.1f} % on the validation images")


if __name__ == "__main__":
    main()
