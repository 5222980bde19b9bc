"""Which α, β, γ? STEP 1: grids, candidates, evaluation and ranking."""
