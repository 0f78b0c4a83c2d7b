"""What `evaluate` does: two labelings compared, in files and reports."""
