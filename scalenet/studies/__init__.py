"""Studies: the paper's comparisons on one's own network and images, and maps of what a network looks at."""
