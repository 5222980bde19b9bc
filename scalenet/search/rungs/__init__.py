"""The rungs of a search: who is trained, with which seeds, for how long."""
