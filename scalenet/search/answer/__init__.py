"""The answer of a search: how the noise is measured, who can be told apart, tables, and what is said of it."""
