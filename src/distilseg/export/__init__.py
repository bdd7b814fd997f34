"""A run made into something to ship: artefacts, their cost measured, budgets met."""
