"""The search for a baseline: the best member of a space at a cost, by training (Tan & Le 2019, section 4)."""
