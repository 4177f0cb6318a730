from __future__ import annotations

import pickle

import pytest

from ogive.core import errors
from ogive.core.errors import OgiveError, SpecError, UnknownName, nearest

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


def test_every_error_is_an_ogive_error_and_exported() -> None:
    assert len(KINDS) >= 9
    for kind in KINDS:
        assert issubclass(kind, OgiveError)
        assert kind.__name__ in errors.__all__


def test_an_unknown_name_offers_the_nearest_known_one() -> None:
    error = UnknownName("strategy", "evolutoin", ["random", "evolution"])
    assert str(error) == "There is no strategy named 'evolutoin'. Did you mean 'evolution'?"
    assert isinstance(error, SpecError)


def test_a_name_that_resembles_none_gets_the_whole_list() -> None:
    assert nearest("zzz", ["random", "evolution"]) == "Known: evolution, random."
    assert nearest("zzz", []) == "None are known."


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_comes_back_whole_from_a_worker_process(kind: type[OgiveError]) -> None:
    error = kind("part", "nsga", ["nsga2"]) if kind is UnknownName else kind("what went wrong")
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind
    assert str(found) == str(error)
    assert vars(found) == vars(error)
