"""What a cluster of Ray has and says: its nodes, the room on them, and what keeps something from being sent there."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ogive.core.errors import MissingData, SpecError, in_line, quoted

__all__ = ["cause_of", "culprit", "in_words", "largest", "nodes_of", "refuse_silence", "required", "room_for"]

# So long a cluster may take to answer.
ANSWER_S = 10.0


def required() -> Any:
    """The package ray; MissingData where it is not installed."""
    try:
        import ray
        import ray.util.scheduling_strategies
    except ModuleNotFoundError as error:
        raise MissingData(
            f"ray(...) needs the package {error.name}: pip install 'ogive[ray]'. Where pip finds none, "
            "there is no Ray for it: use --workers 4, the processes of this machine."
        ) from None
    return ray


def refuse_silence(address: str | None) -> None:
    """SpecError where nobody listens at ``host:port``: Ray itself would try for minutes, and end the process."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise SpecError(f"There is no cluster of Ray at {quoted(address or '')}: {in_line(error)}.") from error


def nodes_of(ray: Any) -> list[Mapping[str, float]]:
    """What each node has, whoever uses it now."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def room_for(node: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many workers with these needs a node has room for."""
    return int(min(node.get(name, 0.0) / amount + 1e-9 for name, amount in needs.items()))


def largest(nodes: Sequence[Mapping[str, float]]) -> str:
    """What the nodes of a cluster have at most, in words."""
    most = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in ("CPU", "GPU", "memory")}
    return f"no node of the cluster has that: the most on one of {len(nodes)} is {in_words(most)}"


def in_words(amounts: Mapping[str, float]) -> str:
    """Amounts of resources by the names that Ray has for them, as a person writes them."""
    units = {"memory": (2**30, " GiB of memory"), "CPU": (1, " CPU"), "GPU": (1, " GPU")}
    return " and ".join(f"{amount / units[name][0]:.4g}{units[name][1]}" for name, amount in amounts.items())


def cause_of(error: BaseException | None) -> Exception | None:
    """What a task of Ray raised in its own code, as a SpecError; None where its worker was lost."""
    from ray.exceptions import RayTaskError

    if not isinstance(error, RayTaskError):
        return None
    return SpecError(
        f"The evaluator cannot be made in a worker ({in_line(error.cause or error)}): it and what it holds must be "
        "defined in modules that can be imported on every node."
    )


def culprit(thing: object) -> str:
    """Which innermost attribute or entry keeps a thing from being sent, such as ``Mine.model.lock (a lock)``."""
    from ray import cloudpickle

    def holds(value: object) -> bool:
        try:
            cloudpickle.dumps(value)
        except Exception:  # noqa: BLE001 - whatever it holds may object
            return True
        return False

    place, name = thing, type(thing).__name__
    for _ in range(20):  # deep enough for every nesting that makes sense
        inner = next(((label, value) for label, value in _inside(place) if holds(value)), None)
        if inner is None:
            break
        name, place = f"{name}{inner[0]}", inner[1]
    return f"{name} (a {type(place).__name__})"


def _inside(thing: object) -> Iterator[tuple[str, object]]:
    """What a thing holds, with how it is written after its name."""
    if isinstance(thing, Mapping):
        yield from ((f"[{key!r}]", value) for key, value in thing.items())
    elif isinstance(thing, (list, tuple)):
        yield from ((f"[{place}]", value) for place, value in enumerate(thing))
    else:
        yield from ((f".{name}", value) for name, value in getattr(thing, "__dict__", {}).items())
