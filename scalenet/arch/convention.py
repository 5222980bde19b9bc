"""What `flops` are, in the words that stand in every file and table that holds them."""

CONVENTION = "multiply-adds of conv and linear, batch 1"
