"""The syntax of parts, written and read again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ogive.core.errors import SpecError
from ogive.spec import Spec, parse

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda s: s not in ("true", "false", "none")
)
# A text that holds both kinds of quotation marks cannot be written, and none can be read.
TEXTS = st.text(max_size=12).filter(lambda text: not ('"' in text and "'" in text))
PLAIN = st.one_of(
    st.booleans(), st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS, NAMES.map(Spec)
)


def parts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(values, max_size=3),
        st.builds(Spec, NAMES, st.lists(values, max_size=3).map(tuple), st.dictionaries(NAMES, values, max_size=3)),
    )


VALUES = st.recursive(PLAIN, parts, max_leaves=12)
SPECS = st.builds(Spec, NAMES, st.lists(VALUES, max_size=3).map(tuple), st.dictionaries(NAMES, VALUES, max_size=3))


def worded(value: Any) -> Any:
    """The value with bare words as texts, which the syntax does not tell apart; 1 and 1.0 and true are different."""
    if isinstance(value, Spec) and (value.args or value.options):
        return value.name, worded(list(value.args)), {key: worded(item) for key, item in value.options.items()}
    if isinstance(value, list):
        return [worded(item) for item in value]
    return (str, value.name) if isinstance(value, Spec) else (type(value), value)


@given(SPECS)
def test_what_is_written_is_read_again(spec: Spec) -> None:
    read = parse(str(spec))
    assert worded(read) == worded(spec)
    assert str(read) == str(spec)


# Half of the texts are made of the syntax's own characters.
@given(st.one_of(st.text(max_size=30), st.text("abe()[]=,.: '\"019-", max_size=16)))
def test_any_text_is_read_or_refused_as_nonsense(text: str) -> None:
    try:
        spec = parse(text)
    except SpecError:
        return
    assert worded(parse(str(spec))) == worded(spec)
