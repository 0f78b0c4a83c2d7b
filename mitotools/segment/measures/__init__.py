"""Instances in numbers: the columns of `stats`, exact sums over runs of voxels, or one at a time."""
