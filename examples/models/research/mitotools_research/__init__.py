"""Models of mitochondria in several tissues: `mitotools predict -m research`. Not for commercial use."""

from pathlib import Path

VOLUMES = Path(__file__).with_name("research.safetensors")
SECTIONS = Path(__file__).with_name("sections.safetensors")
"""What the entry points name."""
