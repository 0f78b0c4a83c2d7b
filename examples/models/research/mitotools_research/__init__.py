"""A model of mitochondria in several tissues: `mitotools predict -m research`. Not for commercial use."""

from pathlib import Path

PATH = Path(__file__).with_name("research.safetensors")
"""What the entry point names."""
