from __future__ import annotations

import pytest

from ogive.core.errors import SpecError
from ogive.spec import Spec, parse, parse_options


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("random", Spec("random")),
        ("random()", Spec("random")),
        ("  random ( )  ", Spec("random")),
        ("evolution(population=50, tournament=10)", Spec("evolution", (), {"population": 50, "tournament": 10})),
        ("maximize(val_acc)", Spec("maximize", (Spec("val_acc"),))),
        ("maximize(val-loss@5)", Spec("maximize", (Spec("val-loss@5"),))),
        (
            "screened(training_free(naswot), trained, keep=4)",
            Spec("screened", (Spec("training_free", (Spec("naswot"),)), Spec("trained")), {"keep": 4}),
        ),
        ("tabular(also=[params, macs])", Spec("tabular", (), {"also": [Spec("params"), Spec("macs")]})),
        ("tabular(also=[])", Spec("tabular", (), {"also": []})),
        ("f(a=1, b=-2, c=+3)", Spec("f", (), {"a": 1, "b": -2, "c": 3})),
        ("f(1.5, -.5, 1e-3, 2., 1E+2)", Spec("f", (1.5, -0.5, 1e-3, 2.0, 100.0))),
        ("f(true, false, none)", Spec("f", (True, False, None))),
        ("f('a b', \"it's\", '')", Spec("f", ("a b", "it's", ""))),
        ("f(images:photos/cats, size=8)", Spec("f", (Spec("images:photos/cats"),), {"size": 8})),
        ("f([[1, 2], [3]],)", Spec("f", ([[1, 2], [3]],))),
        ("g(x=h(y=1))", Spec("g", (), {"x": Spec("h", (), {"y": 1})})),
    ],
)
def test_a_part_is_read(text: str, spec: Spec) -> None:
    assert parse(text) == spec


def test_whole_numbers_and_others_are_told_apart() -> None:
    assert [type(value) for value in parse("f(1, 1.0, 1e0)").args] == [int, float, float]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expected more"),
        ("   ", "Expected more"),
        ("f(", "Expected more"),
        ("f(a", r"Expected , or \)"),
        ("f(a b)", r"Expected , or \)"),
        ("f[a]", "Nothing may follow the part"),
        ("f(a) g", "Nothing may follow the part"),
        ("f(a))", "Nothing may follow the part"),
        ("f(,)", "Expected a name, a number or a list"),
        ("f(a=)", "Expected a name, a number or a list"),
        ("f(1=2)", "The left side of = must be a name"),
        ("f(g(1)=2)", "The left side of = must be a name"),
        ("f(a=1, a=2)", "a is given twice"),
        ("f(a=1, b)", "A part stands before all key=value"),
        ("f([a=1])", "A list holds no key=value"),
        ("f([a)", r"Expected , or \]"),
        ("f('a)", "Expected more"),
        ("f(8x8)", "Expected more"),
        ("f(1e999)", "A number is too large"),
        ("f(a;b)", r"Expected , or \)"),
        ("(a)", "Expected a name, a number or a list"),
    ],
)
def test_what_is_no_part_is_refused_and_quoted(text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason) as refused:
        parse(text)
    assert repr(text) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_message_shows_where_the_text_stops_making_sense() -> None:
    with pytest.raises(SpecError, match=r"after 'screened\(trained'"):
        parse("screened(trained keep=4)")


@pytest.mark.parametrize("text", ["12", "'quoted'", "[a, b]", "true", "none"])
def test_a_value_is_no_part(text: str) -> None:
    with pytest.raises(SpecError, match=r"A part is written name\(part, key=value\)"):
        parse(text)


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "two words",
        "images:",
        "a/",
        "a~",
        "images:x",
        "12",
        "1.5",
        "true",
        "none",
        "",
        "it's",
        'say "x"',
        "a,b",
    ],
)
def test_a_word_is_written_so_that_it_is_read_again(value: str) -> None:
    again = parse(str(Spec("f", (value,)))).args[0]
    assert (again.name if isinstance(again, Spec) else again) == value


def test_a_part_prints_as_it_is_written() -> None:
    text = 'screened(training_free(naswot), trained, keep=4, by=none, scores=[1, 2.5], quick=true, x="a b")'
    assert str(parse(text)) == text


def test_options_alone_are_read() -> None:
    assert parse_options("epochs=60, cutout=8") == {"epochs": 60, "cutout": 8}
    assert parse_options("") == {}


def test_options_alone_hold_no_positions() -> None:
    with pytest.raises(SpecError, match="key=value"):
        parse_options("60")
