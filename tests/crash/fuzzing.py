"""Read mutated files, thousands of them, with little memory and little time, and note whatever is no clear refusal.

Not a test itself: ``test_lying_files.py`` starts it as a process of its own, which forks one child for all the files.
It prints one JSON line a file that was neither read nor refused in one line: the reader, the number of the mutation, by
which ``python fuzzing.py READER --only NUMBER`` repeats it, and what happened.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ogive.core.errors import OgiveError

MEMORY = 2**30  # beyond what the process has when it has read the file as it should be
SECONDS = 10.0
LONGEST = 1000  # of what is said, paths included

Random = random.Random
Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Reader:
    """A file as it should be, in a folder with what belongs to it; ways to spoil it; and who reads it."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    spoil: tuple[Mutate, ...]


# -- ways to spoil ----------------------------------------------------------------------------------------------------

NUMBERS = (0, 1, 0x7F, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


def some_bytes(content: bytes, rng: Random) -> bytes:
    """Bits turned over, numbers replaced by large ones, parts cut off, left out, doubled, put elsewhere or invented."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(found) + 1)
        until = min(len(found), at + rng.choice((1, 2, 8, 50, 1000)))
        match rng.randrange(7):
            case 0 if at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                size = rng.choice((1, 2, 4, 8))
                number = rng.choice(NUMBERS) % 2 ** (8 * size)
                found[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
            case 2:
                del found[at:]
            case 3:
                del found[at:until]
            case 4:
                found[at:at] = found[at:until] * rng.choice((1, 2, 100))
            case 5:
                found[at:at] = rng.randbytes(rng.choice((1, 4, 16)))
            case _:
                part = bytes(found[at:until])
                del found[at:until]
                place = rng.randrange(len(found) + 1)
                found[place:place] = part
    return bytes(found)


HOSTILE = (
    "null", "true", "0", "-1", "5", "1.5", "1e999", "-0.0", "NaN", "9" * 400, "9223372036854775808", '""', '"x"', "[]",
    "{}", "[1]", "[[1, 2]]", '{"a": 1}', '"\\ud800"', "[" * 3000 + "]" * 3000, '"' + "x" * 3000 + '"', '"a\\nb"',
    "[null]",     '"../../x"', '"\\u0000"', "1e22", "1000000000", "[1000000000, 1000000000]", '"inf"', '"nan"',
)  # fmt: skip
MARK = "~hostile~"


def some_values(content: bytes, rng: Random) -> bytes:
    """Values of JSON that are replaced by hostile ones or left out, names that are changed."""
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            break
        inside, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[rng.choice(("", "x", "schema", "__class__", "a" * 300))] = inside.pop(key)
            case 2 if isinstance(inside, list):
                inside[key:key] = inside[key : key + 1] * rng.choice((1, 50))
            case _:
                inside[key] = f"{MARK}{rng.randrange(len(HOSTILE))}"
    text = json.dumps(value)
    for number, hostile in enumerate(HOSTILE):
        text = text.replace(f'"{MARK}{number}"', hostile)
    return text.encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


STEPS = (
    b"]", b"}", b")", b"N", b"(", b"t", b"l", b"d", b"e", b"u", b"s", b"a", b"0", b"2", b"R", b"b", b"\x81", b"\x93",
    b"\x85", b"\x86", b"\x87", b"\x88", b"\x8f", b"\x90", b"\x91", b"\x94", b"Q", b".", b"K\x01", b"q\x01", b"h\x01",
    b"r\xff\xff\xff\x7f", b"j\x05\x00\x00\x00", b"p100000000\n", b"g5\n",
    b"X\xff\xff\xff\x7f", b"\x8a\xff" + bytes(255),
    b"\x8b\xff\xff\xff\x7f", b"\x8e\xff\xff\xff\xff\x03\x00\x00\x00", b"\x96\xff\xff\xff\xff\x07\x00\x00\x00", b"L9L\n",
    b"I01\n", b"Fnan\n", b"cos\nsystem\n", b"cbuiltins\nset\n", b"ccollections\nOrderedDict\n", b"Pid\n", b"iset\n",
    b"c_codecs\nencode\n", b"\x8c\x05torch", b"cnumpy\nndarray\n", b"\x80\x05", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
)  # fmt: skip


def some_steps(content: bytes, rng: Random) -> bytes:
    """Steps of a pickle that are put in, or come in place of others."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 2, 4))):
        at = rng.randrange(len(found))
        steps = b"".join(rng.choices(STEPS, k=rng.choice((1, 2, 6)))) * rng.choice((1, 1, 1, 300))
        found[at : at + rng.choice((0, 1, 2))] = steps
    return bytes(found)


# -- the child --------------------------------------------------------------------------------------------------------


class TimeIsUp(BaseException):
    """A file took longer than it may."""


def _interrupted(*_: object) -> None:
    raise TimeIsUp


def limit_memory(more: int | None) -> None:
    """Let this process have so many bytes more than it has; None for as many as it likes."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    if more is not None:
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def outcome(read: Callable[[], object]) -> str | None:
    """What went wrong; None where the file was read, or refused in one line."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        read()
    except OgiveError as error:
        said = str(error)
        return None if said and "\n" not in said and len(said) <= LONGEST else f"says {said[: 2 * LONGEST]!r}"
    except TimeIsUp:
        return f"takes more than {SECONDS:.0f} seconds: {traceback.format_exc()[-1500:]}"
    except BaseException:  # noqa: BLE001  that is what is looked for
        return traceback.format_exc()[-1500:]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


Job = tuple[str, int]


def tried(jobs: Sequence[Job], seed: int, tell: Callable[[int, str | None], None]) -> None:
    """Read one mutated file for each job, the ones of a reader behind each other."""
    found = readers()
    signal.signal(signal.SIGALRM, _interrupted)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["OGIVE_HOME"] = str(Path(scratch) / "home")
        name, path, good = "", Path(), b""
        for at, (wanted, number) in enumerate(jobs):
            tell(at, None)
            reader = found[wanted]
            if wanted != name:
                limit_memory(None)
                name, place = wanted, Path(scratch) / wanted / "ogive"
                place.mkdir(parents=True)
                path = reader.make(place)
                good = path.read_bytes()
                said = outcome(partial(reader.read, path))
                limit_memory(MEMORY)
                if said is not None:
                    tell(at, f"the file as it should be: {said}")
            rng = random.Random(f"{seed} {name} {number}")
            path.write_bytes(rng.choice(reader.spoil)(good, rng))
            said = outcome(partial(reader.read, path))
            if said is not None:
                tell(at, said)


def in_a_child(jobs: Sequence[Job], seed: int) -> Iterator[tuple[Job, str]]:
    """The same in a process of its own; a file that kills it is noted, and the next child goes on behind it."""
    while jobs:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w", buffering=1) as pipe:
                warnings.simplefilter("ignore")
                tried(jobs, seed, lambda at, said: print(json.dumps([at, said]), file=pipe))
            os._exit(0)
        os.close(writing)
        last = 0
        with os.fdopen(reading) as pipe:
            for line in pipe:
                last, said = json.loads(line)
                if said is not None:
                    yield jobs[last], said
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        yield jobs[last], f"the process ends with {status}"
        jobs = jobs[last + 1 :]


def readers() -> Mapping[str, Reader]:
    """Everything that reads a file, imported when the ways to spoil it are there."""
    from lying_files import readers

    return readers()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", nargs="*")
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()
    logging.disable()
    numbers = range(asked.each) if asked.only is None else range(asked.only, asked.only + 1)
    names = asked.reader or list(readers())
    jobs = [(name, number) for name in names for number in numbers]
    for (name, number), said in in_a_child(jobs, asked.seed):
        sys.stdout.write(json.dumps({"reader": name, "number": number, "said": said}) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"files": len(jobs), "readers": len(names)}) + "\n")


if __name__ == "__main__":
    main()
