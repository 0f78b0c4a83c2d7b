"""Mitochondria instances from electron microscopy volumes."""

__version__ = "0.1.0"
