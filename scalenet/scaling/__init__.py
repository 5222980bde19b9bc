"""What becomes of it? Rules, rounding sets and presets: scaling as a function from data to data. No torch."""
