"""The space of a search: its grid, the networks that the points give, and what can be known without training."""
