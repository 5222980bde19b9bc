"""What is it? Architectures as data: layers, blocks, the specification, config files and the registry. No torch."""
