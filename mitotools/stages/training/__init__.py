"""What `train` is made of: data, a plan, validation, a log."""
