"""How work is carried out: threads, progress, and what a command was told about both."""
