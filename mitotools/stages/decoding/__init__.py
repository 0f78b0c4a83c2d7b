"""What `decode` does: maps of any size to instances."""
