"""Weights: sources of weights that nobody trained for the candidate at hand, for evaluators and strategies alike."""
