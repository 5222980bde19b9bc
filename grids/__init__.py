"""Search grids, shipped as YAML."""
