"""How well two labelings agree: every score of `evaluate`, defined and cited where it is computed."""
