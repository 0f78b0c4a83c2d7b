"""Pictures of slices. Home of matplotlib."""
