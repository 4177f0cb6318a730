"""Data: the images of a task in memory, divided once into train, search-validation and test, as batches on a device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.answers import Shown
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.plain import Plain
from ogive.networks.plain_images import of_images
from ogive.png import png
from ogive.training.arrays import encode, read_arrays
from ogive.training.augment import Augmentation
from ogive.training.checkpoint import save_tensors
from ogive.training.fetch import get
from ogive.training.folders import read_images
from ogive.training.memory import refuse_too_large
from ogive.training.pictures import (
    Array,
    Labelled,
    Progress,
    Source,
    channels_first,
    first_of_each,
    pixels,
    stratified,
)
from ogive.training.published import PUBLISHED, read_digits, read_published
from ogive.training.recipe import Recipe

__all__ = [
    "NAMES",
    "Data",
    "Split",
    "from_dataset",
    "from_loaders",
    "get",
    "held",
    "load",
    "normalisation",
    "of_classes",
]

NAMES = ("digits", *PUBLISHED, "images:FOLDER", "arrays:FILE.npz")
FIXED = Seed(0)  # everybody divides alike who does not ask for another division
UNCHANGED = Augmentation()
LARGEST_SIDE = 4096  # pixels; more than any published image classifier was trained on
CHUNK_PIXELS = 1 << 28  # at most so many numbers of 4 bytes are in flight while images are resized
PREVIEW = 56  # pixels a side of what a page shows
MOST_NAMED = 12  # classes whose names are told
SHARE = 0.2  # of the images that are divided, where the data set has no part of its own


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, C, H, W), uint8 or float32 as they were read, and labels (N,) int64; or rows (N, F) and targets."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Split:
        """The same images on a device."""
        return Split(self.images.to(device), self.labels.to(device))

    def __reduce__(self) -> tuple[Any, ...]:
        # Plain bytes: tensors are sent between processes through shared memory, of which containers have little.
        return _split, (self.images.cpu().numpy(), self.labels.cpu().numpy())


def _split(images: Array, labels: Array) -> Split:
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


@dataclass(frozen=True, eq=False)
class Data:
    """A task: three splits that share no image, the names of its classes, and how its pixels are normalised.

    A search learns from `train` and compares on `val`; `test` is for the one report at the end. `mean` and `std` are
    those of each channel over `train`, on the scale 0..1 for uint8 pixels and on their own scale for others.
    """

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation = UNCHANGED
    tasks: tuple[str, ...] = Source.tasks

    kind: ClassVar[str] = Source.kind  # what one input is, in the plural
    recipe: ClassVar[type[Recipe]] = Recipe  # how networks are trained on such data, unless somebody says otherwise

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, rows and columns of every image."""
        return tuple(self.train.images.shape[1:])

    @property
    def sizes(self) -> Mapping[str, int]:
        """What the size of a network follows from beside the shape of an input and the classes."""
        return {}

    @property
    def facts(self) -> tuple[Any, ...]:
        """What it is made of beside images and labels."""
        return self.classes, self.shape, self.mean, self.std, self.augmentation

    @property
    def summary(self) -> tuple[str, ...]:
        """How many images of which size and colour, how many of each class, and how many in each part."""
        channels, *sides = self.shape
        colour = {1: "grey ", 3: "RGB "}.get(channels, "")
        size = f"{sides[1]} x {sides[0]} pixels" + ("" if colour else f" and {channels} channels")
        labels = torch.cat([split.labels for split in (self.train, self.val, self.test)])
        return (f"{len(labels):,} {colour}images of {size}, {of_classes(self.classes, labels)}", self.divided_into)

    @property
    def divided_into(self) -> str:
        """How many samples each part has."""
        return f"{len(self.train):,} to train on, {len(self.val):,} to validate on, {len(self.test):,} to test on"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all the pixels, labels and names, in 64 hexadecimal digits."""
        digest = hashlib.sha256(repr(self.facts).encode())
        for split in (self.train, self.val, self.test):
            digest.update(split.images.cpu().contiguous().numpy().data)
            digest.update(split.labels.cpu().numpy().data)
        return digest.hexdigest()

    def normalised(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Images as a network takes them: every channel with mean 0 and standard deviation 1 over `train`."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        mean = torch.tensor(self.mean, dtype=torch.float64, device="cpu")
        std = torch.tensor(self.std, dtype=torch.float64, device="cpu")
        channels = (-1, *[1] * (images.ndim - 2))
        factor = (1 / (scale * std)).to(images.device, dtype).view(channels)
        offset = (mean / std).to(images.device, dtype).view(channels)
        return images.to(dtype) * factor - offset

    def shown(self, place: int) -> Shown:
        """What a person sees of a test image: a picture of it, at most `PREVIEW` pixels wide and high."""
        return Shown(picture=png(_preview(self.test.images[place].cpu())))

    def plain(self) -> Plain:
        """What travels with networks of these images; test images as they were read, since the file prepares them."""
        test = {"images": self.test.images, "labels": self.test.labels}
        return of_images(
            self.shape,
            classes=self.classes,
            normalise=(self.mean, self.std),
            images=self.normalised(self.test.images[:256]),
            pictures=self.train.images.dtype == torch.uint8 or _unit(self.train.images),
            keep=lambda folder: save_tensors(test, folder / "test.safetensors"),
        )

    def joined(self) -> Self:
        """For the last training, after the search: the validation images are trained on as well.

        `val` stays, so that progress can be watched, but is no evidence any more; `test` is untouched.
        """
        images = torch.cat([self.train.images, self.val.images])
        return replace(self, train=Split(images, torch.cat([self.train.labels, self.val.labels])))

    def to(self, device: torch.device | str) -> Self:
        """The same data on a device."""
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))


def _preview(image: Tensor) -> npt.NDArray[np.uint8]:
    """Pixels (H, W, 3) or (H, W) of an image (C, H, W), of numbers from the darkest to the brightest."""
    shown = image.float() if len(image) == 3 else image[:1].float()
    if image.dtype != torch.uint8:
        low, high = shown.aminmax()
        shown = (shown - low) * (255 / max(float(high - low), 1e-12))
    longest = max(shown.shape[1:])
    if longest > PREVIEW:
        height, width = (max(1, round(side * PREVIEW / longest)) for side in shown.shape[1:])
        shown = F.adaptive_avg_pool2d(shown[None], (height, width))[0]
    bytes_HWC: npt.NDArray[np.uint8] = shown.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(bytes_HWC if len(image) == 3 else bytes_HWC[:, :, 0])


def of_classes(classes: Sequence[str], labels: Tensor) -> str:
    """How many samples each class has; of many classes, the least and the most. Labels (N,) int64."""
    counts = torch.bincount(labels, minlength=len(classes)).tolist()
    if len(classes) > MOST_NAMED:
        return f"{len(classes):,} classes of {min(counts):,} to {max(counts):,}"
    return "classes " + ", ".join(f"{name} {count:,}" for name, count in zip(classes, counts, strict=True))


class Images(Protocol):
    """A dataset in torch's sense: pairs of an image and a label, by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


def load(
    name: str,
    *,
    size: int | None = None,
    seed: Seed = FIXED,
    folder: Path | None = None,
    limit: int | None = None,
    channels: int | None = None,
    validation: float | None = None,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> Data:
    """Load ``digits``, ``fashion-mnist``, ``cifar10``, ``cifar100``, ``images:FOLDER`` or ``arrays:FILE.npz``.

    `size` resizes the images to a square of so many pixels. The parts that a data set does not define are divided from
    its training images by `seed`, each class by its share; the default seed gives everybody the same division.
    `folder` is where the files of a published data set lie, by default in ogive's home. `limit` keeps at most so many
    images of each part, for a quick run. `channels` (1 or 3) converts the images of a folder, of which
    `skip_broken` leaves out those that cannot be read. `validation` is the share
    of the training images that becomes `val`. Raises UnknownName, SpecError or MissingData.
    """
    for word, value in (("size", size), ("limit", limit)):
        if value is not None and value < 1:
            raise SpecError(f"{word} must be at least 1, but got {value}.")
    if size is not None and size > LARGEST_SIDE:
        raise SpecError(f"size must be at most {LARGEST_SIDE} pixels a side, but got {size}.")
    kind, colon, path = name.partition(":")
    where = Path(path).expanduser()
    if skip_broken and kind != "images":
        raise SpecError(f"Only files of images:FOLDER can be skipped where they are broken, but the data are {name}.")
    if colon and path and kind == "images":
        source = read_images(where, size=size, channels=channels, skip_broken=skip_broken, progress=progress)
        side = min(source.train.images.shape[2:])
        augmentation = Augmentation(padding=side // 8, flip=True)
    elif colon and path and kind == "arrays":
        source, augmentation = read_arrays(where), Augmentation()
    elif name == "digits":
        source, augmentation = read_digits(), Augmentation(padding=1)
    elif name in PUBLISHED:
        source, augmentation = read_published(name, folder or _home(name)), Augmentation(padding=4, flip=True)
    else:
        _refuse_bare_path(name)
        raise UnknownName("data set", name, (*NAMES, "text:FOLDER"))
    if name == "digits":
        # 450 test images: a quarter. One image more or less is 0.22 per cent.
        source = divided(source, name, seed, test=450, validation=0.25 if validation is None else validation)
    else:
        source = divided(source, name, seed, validation=validation)
    return assembled(source, name, augmentation, size=size, limit=limit)


def _refuse_bare_path(name: str) -> None:
    """SpecError for a file or folder without a word before it that says what it holds."""
    path = Path(name).expanduser()
    kinds = {".csv": "csv:{}(target=COLUMN)", ".tsv": "csv:{}(target=COLUMN)", ".npz": "arrays:{}"}
    written = kinds.get(path.suffix.lower(), "images:{}" if path.is_dir() else "")
    if path.is_dir() and any(path.glob("*train.t*")):
        written = "text:{}"
    if written:
        raise SpecError(f"Data begin with what they are: did you mean {written.format(name)}?")


def held(data: Any) -> Data:
    """Hold in memory a torch dataset, or two or three of them, or of loaders: to train, to validate and to test on.

    SpecError for anything else, and for what these hold beside pairs of images and labels.
    """
    parts = list(data) if isinstance(data, (tuple, list)) else [data]
    if len(parts) > 3 or not parts:
        raise SpecError(f"Data are two or three parts, to train, to validate and to test on, but got {len(parts)}.")
    if all(hasattr(part, "__getitem__") and hasattr(part, "__len__") for part in parts):
        train, val, test = [*parts, None, None][:3]
        return from_dataset(train, test, val=val, name=type(train).__name__)
    if len(parts) > 1 and all(hasattr(part, "__iter__") for part in parts):
        return from_loaders(*parts)
    raise SpecError(
        "Data are a name such as 'digits', what ogive.data returns, a torch dataset, or two or three loaders (train, "
        f"validation, test), but got {' and '.join(type(part).__name__ for part in parts)}."
    )


def from_dataset(
    train: Images,
    test: Images | None = None,
    *,
    val: Images | None = None,
    name: str = "dataset",
    seed: Seed = FIXED,
    size: int | None = None,
    limit: int | None = None,
    augmentation: Augmentation = UNCHANGED,
) -> Data:
    """Hold torch datasets of (image, label) pairs in memory; what is not given is divided from `train`.

    Images are tensors (C, H, W), or arrays and pillow images (H, W, C) or (H, W); all of one shape. A random transform
    in the dataset is drawn once: leave it out and use `augmentation`. `train.classes` names the classes, if it exists.
    """
    parts = {"train": train, "val": val, "test": test}
    found = {
        part: _gathered(_pairs(dataset), f"{name} ({part})") for part, dataset in parts.items() if dataset is not None
    }
    names = getattr(train, "classes", None)
    return _from_arrays(found, name, names, seed=seed, size=size, limit=limit, augmentation=augmentation)


def from_loaders(
    train: Iterable[Any],
    val: Iterable[Any],
    test: Iterable[Any] | None = None,
    *,
    name: str = "loaders",
    classes: Sequence[str] | None = None,
    seed: Seed = FIXED,
    size: int | None = None,
    limit: int | None = None,
    augmentation: Augmentation = UNCHANGED,
) -> Data:
    """Run through loaders of (images, labels) batches once and hold what they give in memory.

    Without a `test` loader a fifth of the training images is set aside for the report at the end.
    """
    parts = {"train": train, "val": val, "test": test}
    found = {
        part: _gathered(_batches(loader), f"{name} ({part})") for part, loader in parts.items() if loader is not None
    }
    return _from_arrays(found, name, classes, seed=seed, size=size, limit=limit, augmentation=augmentation)


def divided(
    source: Source, name: str, seed: Seed, *, test: int | None = None, validation: float | None = None
) -> Source:
    """The source with a test part and a validation part, split off the training images where it has none.

    What comes of a file or folder is divided alike wherever that lies, so that it may move.
    """
    streams = seed.child(name.partition(":")[0])
    share = SHARE if validation is None else validation
    if not 0 < share < 1:
        raise SpecError(f"validation is a share of the training images, between 0 and 1, but got {share}.")
    sizes = np.bincount(source.train.labels, minlength=len(source.classes))
    needed = 1 + (source.val is None) + (source.test is None)
    if len(sizes) > 1 and sizes.min() < needed:
        raise SpecError(
            f"The class {source.classes[int(sizes.argmin())]!r} of {name} has {sizes.min()} training image(s), but "
            f"{needed} are the least that can be divided into train, validation and test."
        )
    if source.test is None:
        count = round(SHARE * len(source.train.labels)) if test is None else test
        kept, off = stratified(source.train.labels, count, streams.numpy("test split"))
        source = replace(source, train=source.train.take(kept), test=source.train.take(off))
    if source.val is None:
        count = round(share * len(source.train.labels))
        kept, off = stratified(source.train.labels, count, streams.numpy("validation split"))
        source = replace(source, train=source.train.take(kept), val=source.train.take(off))
    return source


def assembled(
    source: Source, name: str, augmentation: Augmentation, *, size: int | None = None, limit: int | None = None
) -> Data:
    """Check a divided source and make it Data."""
    assert source.val is not None
    assert source.test is not None
    if len(source.classes) < 2:
        raise SpecError(
            f"{name} has {len(source.classes)} class(es) ({', '.join(source.classes)}), but two are the least that can "
            "be told apart."
        )
    parts = {"train": source.train, "validation": source.val, "test": source.test}
    for part, labelled in parts.items():
        if labelled.images.shape[1:] != source.train.images.shape[1:]:
            raise SpecError(
                f"All images must have one shape (C, H, W), but {name} has {source.train.images.shape[1:]} in "
                f"train and {labelled.images.shape[1:]} in {part}."
            )
        if not len(labelled.labels):
            raise SpecError(f"{name} has no {part} images.")
    if size is not None:
        _refuse_size(name, [labelled.images for labelled in parts.values()], size, limit)
    train, val, test = (_tensors(labelled, size, limit) for labelled in parts.values())
    if size is not None:
        scale = size / max(1, min(source.train.images.shape[2:]))
        augmentation = replace(augmentation, padding=round(augmentation.padding * scale))
    mean, std = normalisation(train.images)
    return Data(name, train, val, test, source.classes, mean, std, augmentation)


def _refuse_size(name: str, parts: Sequence[Array], size: int, limit: int | None) -> None:
    """SpecError if the images would not fit into memory at this size."""
    count = sum(len(images) if limit is None else min(limit, len(images)) for images in parts)
    shape, item = (count, parts[0].shape[1], size, size), parts[0].dtype.itemsize
    refuse_too_large(f"{name} at size={size}", shape, item=item, way_out="give a smaller size, or a limit")


def _tensors(labelled: Labelled, size: int | None, limit: int | None) -> Split:
    if limit is not None:
        labelled = labelled.take(first_of_each(labelled.labels, limit))
    split = _split(np.ascontiguousarray(labelled.images), labelled.labels)
    if size is None or tuple(split.images.shape[2:]) == (size, size):
        return split
    shrinks = size < max(split.images.shape[2:])
    chunks = []
    for chunk in split.images.split(max(1, min(1000, CHUNK_PIXELS // (split.images.shape[1] * size * size)))):
        resized = F.interpolate(chunk.float(), (size, size), mode="bilinear", align_corners=False, antialias=shrinks)
        chunks.append(resized.round().clamp(0, 255).byte() if chunk.dtype == torch.uint8 else resized)
    return Split(torch.cat(chunks), split.labels)


def normalisation(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel; a channel without any contrast keeps its scale.

    Pixels of uint8 are counted, which is exact: the digest must not depend on the number of threads.
    """
    mean, std = [], []
    for channel in range(images.shape[1]):
        if images.dtype == torch.uint8:
            counts = torch.bincount(images[:, channel].flatten(), minlength=256).numpy()
            levels = np.arange(256) / 255
            centre = float(np.average(levels, weights=counts))
            spread = float(np.average((levels - centre) ** 2, weights=counts)) ** 0.5
        else:
            values = images[:, channel].numpy().astype(np.float64)
            centre, spread = float(values.mean()), float(values.std())
        mean.append(centre)
        std.append(spread if spread > 1e-6 * max(abs(centre), 1e-6) else 1.0)
    return tuple(mean), tuple(std)


def _unit(images: Tensor) -> bool:
    """Whether numbers are on the scale of pictures."""
    return bool(images.min() >= 0) and bool(images.max() <= 1)


def _home(name: str) -> Path:
    from ogive.home import data_folder

    return data_folder() / name


def _from_arrays(
    found: dict[str, tuple[Array, Array]],
    name: str,
    names: Sequence[str] | None,
    *,
    seed: Seed,
    size: int | None,
    limit: int | None,
    augmentation: Augmentation,
) -> Data:
    codes, classes = encode({part: labels for part, (_, labels) in found.items()}, name)
    if names is not None and len(names) == len(classes):
        classes = tuple(str(each) for each in names)
    parts = {part: Labelled(images, codes[part]) for part, (images, _) in found.items()}
    source = Source(parts["train"], classes, parts.get("val"), parts.get("test"))
    return assembled(divided(source, name, seed), name, augmentation, size=size, limit=limit)


def _pairs(dataset: Images) -> Iterable[tuple[Array, Array]]:
    for index in range(len(dataset)):
        image, label = dataset[index]
        channels_last = not isinstance(image, Tensor)
        values = _array(image)
        if values.ndim == 2:
            values = values[None]
        elif channels_last:
            values = channels_first(values[None], "an image")[0]
        yield values[None], np.atleast_1d(_array(label))


def _batches(loader: Iterable[Any]) -> Iterable[tuple[Array, Array]]:
    for images, labels in loader:
        yield channels_first(_array(images), "a batch"), np.atleast_1d(_array(labels))


def _array(value: Any) -> Array:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _gathered(pairs: Iterable[tuple[Array, Array]], origin: str) -> tuple[Array, Array]:
    collected = list(pairs)
    if not collected:
        raise SpecError(f"{origin} holds no images.")
    shapes = sorted({images.shape[1:] for images, _ in collected})
    if len(shapes) > 1:
        raise SpecError(
            f"All images must have one shape (C, H, W), but {origin} has {shapes[0]} and {shapes[1]}: resize them."
        )
    images = pixels(np.concatenate([images for images, _ in collected]), origin)
    return images, np.concatenate([labels for _, labels in collected])
