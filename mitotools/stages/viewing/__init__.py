"""What `view` shows in a browser."""
