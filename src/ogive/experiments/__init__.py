"""Comparisons of searches and of methods by equal seeds, at any size, such as of those that share weights.

They are what recipes in ``ogive/recipes/experiments`` run.

A module compares methods with one seed (`one`), knows what stands beside all seeds (`beside`), and says what the seeds
came to (`told`), which takes nothing but what was stored. Its `Size` is what a preset fills in.
"""
