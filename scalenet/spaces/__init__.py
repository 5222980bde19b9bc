"""Spaces of networks: which there are, what each member costs, and members that meet limits."""
