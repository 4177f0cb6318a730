"""Comparisons of searches that share weights, and of others by the same seeds, at any size.

They are what recipes in ``ogive/recipes/weight_sharing`` run.

A module compares methods with one seed (`one`), knows what stands beside all seeds (`beside`), and says what the seeds
came to (`told`), which takes nothing but what was stored. Its `Size` is what a preset fills in.
"""
