"""The commands: each parses its arguments, calls one stage and reports. Home of click and rich."""
