"""Show it: plots of a search, and the page that holds them."""
