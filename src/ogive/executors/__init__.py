"""Executors: where trials run. `opened` is the one place where a pool is made."""

from ogive.executors.opening import at_work, normal, opened, workers_of

__all__ = ["at_work", "normal", "opened", "workers_of"]
