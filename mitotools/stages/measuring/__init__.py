"""What `stats` does: instances measured in one pass, or one by one."""
