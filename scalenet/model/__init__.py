"""What runs? The layer tree as an `nn.Module`, initialised as the official code does."""
