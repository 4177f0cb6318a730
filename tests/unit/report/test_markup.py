from __future__ import annotations

import json

import pytest

from ogive.report.markup import Html, joined, script_json, tag


def test_plain_text_is_escaped_and_html_is_not() -> None:
    assert tag("p", "a < b & c", tag("b", "d")) == "<p>a &lt; b &amp; c<b>d</b></p>"


def test_attributes_are_escaped_renamed_and_left_out() -> None:
    element = tag("div", class_='a"b', data_point=3, hidden=True, id=None, role=False)
    assert element == '<div class="a&quot;b" data-point="3" hidden></div>'


def test_void_elements_have_no_end() -> None:
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_lists_are_flattened_and_none_is_nothing() -> None:
    assert joined(["a", None, ["<"]], Html("<hr>")) == "a&lt;<hr>"


def test_json_in_a_script_cannot_end_the_script() -> None:
    hostile = {"</script><script>alert(1)</script>": ["<!--", "\u2028", "&amp;"]}
    text = script_json(hostile)
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == hostile


def test_json_in_a_script_holds_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        script_json([float("nan")])
