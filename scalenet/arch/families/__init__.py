"""The built-in blocks, a file a family: functions from a slot to layers, whose keyword-only parameters are options."""
