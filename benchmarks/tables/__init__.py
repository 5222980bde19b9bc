"""Recorded trainings: every candidate of a grid, many seeds, whole learning curves, to replay searches on."""
