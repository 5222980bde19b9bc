"""Did it change? Verification of config files."""
