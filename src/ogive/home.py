"""Where imported tables and downloaded data live on this machine: $OGIVE_HOME, or the user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["data_folder", "home", "tables_folder"]


def home() -> Path:
    """The root of all that ogive keeps between runs; it need not exist. An empty $OGIVE_HOME counts as unset."""
    chosen = os.environ.get("OGIVE_HOME")
    return Path(chosen).expanduser().absolute() if chosen else _user_cache() / "ogive"


def tables_folder() -> Path:
    """Where imported benchmark tables live, one folder each; it need not exist."""
    return home() / "tables"


def data_folder() -> Path:
    """Where downloaded data sets live, one folder each; it need not exist."""
    return home() / "data"


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    # XDG Base Directory Specification 0.8: a relative path in the variable is invalid and to be ignored.
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return chosen if chosen.is_absolute() else Path.home() / ".cache"
