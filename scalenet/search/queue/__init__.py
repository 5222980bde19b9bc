"""Who evaluates what: the jobs of a search in a database, and the processes that do them."""
