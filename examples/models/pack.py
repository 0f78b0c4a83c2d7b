"""Make of a trained model one to be given to others: weights in half precision, with a card.

Run: python examples/models/pack.py MODEL.safetensors CARD.toml TARGET.safetensors

The card is a table of texts, and at least says title, data, terms, cite, scores and limits: `mitotools info`
prints it, and the history of maps made with the model carries it. A table [decode] in it has options of
decode, as `mitotools tune -o` writes them, in place of those of the model's validation. Folders of your
machine are left out of the model's history. Maps change by a fraction of 1/255.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

from mitotools.errors import MitotoolsError, UsageError
from mitotools.history import from_json, to_json
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
    content = tomllib.loads(card_file.read_text("utf-8"))
    options = content.pop("decode", {})
    card = {key: " ".join(str(value).split()) for key, value in content.items()}
    if missing := [key for key in REQUIRED if not card.get(key)]:
        raise UsageError(str(card_file), f"does not say {', '.join(missing)}")
    network, metadata = load_model(model)
    decode = {**metadata.decode, **options}
    # A file's name stays of what begins with a slash, or with dots and one, and has another one.
    history = from_json(re.sub(r"(?<![\w.:/-])\.{0,2}(?:/[^/\s'\"\\]+)+/", "", to_json(metadata.history)))
    save_model(target, network.half(), replace(metadata, card=card, decode=decode, history=history))


def main() -> None:
    """Pack what the command line names."""
    try:
        pack(*map(Path, sys.argv[1:4]))
    except MitotoolsError as error:
        sys.exit(f"pack: {error}")


if __name__ == "__main__":
    main()
