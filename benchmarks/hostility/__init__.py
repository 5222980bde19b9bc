"""Input that no one means well with: what it is made of, the kinds of it, and what a command may do about it."""
