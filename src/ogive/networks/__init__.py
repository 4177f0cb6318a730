"""Graphs become modules: operations, the networks of the published spaces, counting and export."""
