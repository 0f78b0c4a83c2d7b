"""What each command does, as one function on named volumes."""
