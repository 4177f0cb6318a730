"""A search from its settings to its last trial: build the parts, run the loop, store every trial, resume.

Torch is reached only through the catalog, so a tabular search never imports it.
"""

from ogive.session.assembly import Maker, Parts, assemble, is_maker, isolated, optimum_of, projections, unrepeatable
from ogive.session.finalists import remeasured
from ogive.session.pace import Pace, Past, UnderWay
from ogive.session.running import budget_in_force, going_on, ran, resume, search, searched, stopped, stored, unfinished
from ogive.session.settings import Settings, budget_of, refuse_other_settings, settings_of, threads_of
from ogive.session.watch import Watch, watch_of

__all__ = [
    "Maker",
    "Pace",
    "Parts",
    "Past",
    "Settings",
    "UnderWay",
    "Watch",
    "assemble",
    "budget_in_force",
    "budget_of",
    "going_on",
    "is_maker",
    "isolated",
    "optimum_of",
    "projections",
    "ran",
    "refuse_other_settings",
    "remeasured",
    "resume",
    "search",
    "searched",
    "settings_of",
    "stopped",
    "stored",
    "threads_of",
    "unfinished",
    "unrepeatable",
    "watch_of",
]
