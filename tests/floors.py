"""Print the oldest version of each package that pyproject.toml allows, as requirements for pip.

torch is left out: nothing on the tabular path imports it, and it is most of an installation. pip resolves to the newest
of what these need themselves, as it would for a user whose own packages hold ogive's back.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def floors() -> list[str]:
    """``name==version`` of every dependency but torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.fullmatch(r"([\w.-]+)>=([\w.]+)", text.strip()) for text in project["dependencies"])
    return [f"{one[1]}=={one[2]}" for one in found if one is not None and one[1] != "torch"]


if __name__ == "__main__":
    print("\n".join(floors()))
