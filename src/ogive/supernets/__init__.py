"""Many networks in one: mixed operations, their gates and architecture parameters, and how both are trained."""
