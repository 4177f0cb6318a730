"""Evaluators: how good is a candidate? Each measures proposals and reports failures as data."""
