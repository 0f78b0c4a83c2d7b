"""Volumes gone through and written block by block, on any engine, in bounded memory."""
