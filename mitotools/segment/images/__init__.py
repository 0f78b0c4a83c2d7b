"""Grey values and resolutions: images and labels on other grids, in other types."""
