"""Named arrays on disk: reading and writing them by blocks. Home of h5py, zarr, tifffile and pillow."""
