"""Predictors: estimates of what was not measured, fitted on what was. No search happens here."""
