"""Recipes: one TOML file for each row of a published table that ogive reproduces."""
