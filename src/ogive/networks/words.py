"""How sentences become numbers: the one function that a search, and every exported file, cuts texts into words by."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["encoded", "words_of"]


def words_of(text: str) -> list[str]:
    """Cut a text into small letters, digits and signs: "It's 5." is it ' s 5 and a point."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def encoded(text: str, places: Mapping[str, int], length: int) -> list[int]:
    """Number the first words of a text, and fill up with 0; 1 stands for words that are not known."""
    found = [places.get(word, 1) for word in words_of(text)[:length]]
    return found + [0] * (length - len(found))
