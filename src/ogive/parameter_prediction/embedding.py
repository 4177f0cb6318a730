"""Networks as points: what a hypernetwork knows of architectures and of own modules, as a table, a map and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError
from ogive.core.network_graph import NetworkGraph
from ogive.core.space import SearchSpace
from ogive.files import write_whole
from ogive.hypernets.encoder import CLASSES, Embeddings
from ogive.hypernets.files import SHIPPED, load
from ogive.hypernets.prediction import embedding, graph_of
from ogive.networks.build import fitted_skeleton
from ogive.parameter_prediction.predicting import network_of
from ogive.reporting.embedding import Placed, write_embedding_page

__all__ = ["Embedded", "embed", "embedded_files", "mapped", "nearest", "page_of", "write_table"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Embedded:
    """Networks with their embeddings: `rows` (n, width), their places `at` on the map (n, 2), and its `shares`.

    `neighbours` (n, k) are the places of the nearest others, the nearest first, `distances` how far they are. `values`
    are those of a column, by which a map is coloured.
    """

    names: tuple[str, ...]
    archs: tuple[Architecture | None, ...]
    nodes: tuple[int, ...]
    rows: Floats
    at: Floats
    shares: tuple[float, float]
    neighbours: npt.NDArray[np.int64]
    distances: Floats
    values: tuple[float, ...] | None = None


def embed(
    targets: Sequence[str | Architecture],
    *,
    space: SearchSpace | None = None,
    ghn: Path | None = None,
    shape: tuple[int, ...] = (3, 32, 32),
    channels: int | None = None,
    cells: int | None = None,
    neighbours: int = 5,
    values: Sequence[float] | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Embedded:
    """The embeddings of networks that read inputs of a shape (C, H, W), each the mean of those of its nodes.

    A target is an architecture, of `space` where that has operations of one's own, or ``FILE.py:function``, which
    returns a module. `ghn` is the file of a hypernetwork, by default the one that comes with ogive; `channels` and
    `cells` are the size of architectures' networks, by default the published one. SpecError for fewer than three
    networks, which have no map, and for one that cannot be followed.
    """
    if len(targets) < 3 or neighbours < 1:
        raise SpecError(
            f"A map needs three networks, and a neighbour at least, but got {len(targets)} and neighbours={neighbours}."
        )
    if values is not None and len(values) != len(targets):
        raise SpecError(f"Each of {len(targets)} networks has a value, but got {len(values)}.")
    file = SHIPPED if ghn is None else ghn
    hypernetwork = load(file)
    rows, nodes = [], []
    for number, graph in enumerate(_graphs(targets, space, file, shape, channels, cells)):
        rows.append(embedding(hypernetwork, [graph])[0].numpy().astype(np.float64))
        nodes.append(len(graph))
        if tell is not None:
            tell(number + 1, len(targets))
    table = np.stack(rows)
    at, shares = mapped(table)
    places, distances = nearest(table, neighbours)
    archs = tuple(target if isinstance(target, Architecture) else None for target in targets)
    told = None if values is None else tuple(map(float, values))
    return Embedded(tuple(map(str, targets)), archs, tuple(nodes), table, at, shares, places, distances, told)


def mapped(rows: Floats) -> tuple[Floats, tuple[float, float]]:
    """The two principal components of rows, (n, 2), and the share of the variance that each of them holds."""
    from sklearn.decomposition import PCA

    if np.ptp(rows, axis=0).max() == 0:
        return np.zeros((len(rows), 2)), (0.0, 0.0)
    found = PCA(2, svd_solver="full")
    at = np.asarray(found.fit_transform(rows), np.float64)
    first, second = found.explained_variance_ratio_.tolist()
    return at, (first, second)


def nearest(rows: Floats, count: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """The places of each row's nearest others by Euclidean distance, and the distances; both (n, at most count)."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(count, len(rows) - 1)).fit(rows)
    distances, places = found.kneighbors()
    return np.asarray(places, np.int64), np.asarray(distances, np.float64)


def write_table(embedded: Embedded, path: Path, column: str | None = None) -> None:
    """The embeddings as CSV: name, nodes, a column of values, the place on the map, and all dimensions."""
    whole = io.StringIO()
    writer = csv.writer(whole, lineterminator="\n")
    named = [] if embedded.values is None else [column or "value"]
    writer.writerow(["network", "nodes", *named, "x", "y", *(f"e{n}" for n in range(embedded.rows.shape[1]))])
    for place, name in enumerate(embedded.names):
        value = [] if embedded.values is None else [repr(embedded.values[place])]
        numbers = [*embedded.at[place].tolist(), *embedded.rows[place].tolist()]
        writer.writerow([name, embedded.nodes[place], *value, *(f"{number:.7g}" for number in numbers)])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, whole.getvalue())
    except OSError as error:
        raise StoreError(f"The embeddings cannot be written to {path} ({error.strerror}).") from error


def page_of(embedded: Embedded, file: Path, *, column: str | None = None, command: str = "") -> Path:
    """Write the page beside the table in `file`, and return where it is."""
    placed = [
        Placed(
            name,
            embedded.archs[place],
            embedded.nodes[place],
            float(embedded.at[place, 0]),
            float(embedded.at[place, 1]),
            tuple(zip(embedded.neighbours[place].tolist(), embedded.distances[place].tolist(), strict=True)),
            None if embedded.values is None else embedded.values[place],
        )
        for place, name in enumerate(embedded.names)
    ]
    page = file.with_suffix(".html")
    return write_embedding_page(page, placed=placed, shares=embedded.shares, file=file, column=column, command=command)


def embedded_files(
    targets: Sequence[str | Architecture],
    out: Path,
    *,
    values: Sequence[float] | None = None,
    column: str | None = None,
    command: str = "",
    **options: Any,
) -> tuple[Embedded, Path]:
    """Embed, and write the table `out` and its page; what was found, and where the page is."""
    if out.suffix == ".html":
        raise SpecError(f"{out} would be both the table and its page: name the table, such as embeddings.csv.")
    found = embed(targets, values=values, **options)
    write_table(found, out, column)
    return found, page_of(found, out, column=column, command=command)


def _graphs(
    targets: Sequence[str | Architecture],
    space: SearchSpace | None,
    file: Path,
    shape: tuple[int, ...],
    channels: int | None,
    cells: int | None,
) -> Iterator[NetworkGraph]:
    """The graph of each target's network."""
    encoders: dict[str, Embeddings] = {}
    for target in targets:
        if isinstance(target, str):
            try:
                yield graph_of(network_of(target), shape)
            except SpecError as error:
                raise SpecError(str(error) if target in str(error) else f"{target} has no embedding: {error}") from None
            continue
        if target.space not in encoders:
            own: SearchSpace = catalog.build("space", target.space) if space is None else space
            skeleton = fitted_skeleton(target.space, shape, CLASSES, channels=channels, cells=cells)
            encoders[target.space] = Embeddings(file, own, skeleton, shape)
        yield encoders[target.space].graph(target)
