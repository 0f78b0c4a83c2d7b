"""Make of a trained model one to be given to others: weights in half precision, with a card.

Run: python examples/models/pack.py MODEL.safetensors CARD.toml TARGET.safetensors

The card is a table of texts, and at least says title, data, terms, cite, scores and limits: `mitotools info`
prints it, and the history of maps made with the model carries it. Maps change by a fraction of 1/255.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

from mitotools.errors import MitotoolsError, UsageError
from mitotools.learn.checkpoint import load_model, save_model

REQUIRED = ("title", "data", "terms", "cite", "scores", "limits")


def pack(model: Path, card_file: Path, target: Path) -> None:
    """Write the model with its card.

    Raises
    ------
    UsageError
        Where the card leaves something out.
    InputError, ModelError, TargetError
    """
    card = {
        key: " ".join(str(value).split())
        for key, value in tomllib.loads(card_file.read_text("utf-8")).items()
    }
    if missing := [key for key in REQUIRED if not card.get(key)]:
        raise UsageError(str(card_file), f"does not say {', '.join(missing)}")
    network, metadata = load_model(model)
    save_model(target, network.half(), replace(metadata, card=card))


def main() -> None:
    """Pack what the command line names."""
    try:
        pack(*map(Path, sys.argv[1:4]))
    except MitotoolsError as error:
        sys.exit(f"pack: {error}")


if __name__ == "__main__":
    main()
