"""How work is carried out: threads and processes, memory, progress, and what is done already."""
