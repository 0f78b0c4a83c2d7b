"""Decoders that work block by block: what a block knows of the whole, and how the blocks are joined."""
