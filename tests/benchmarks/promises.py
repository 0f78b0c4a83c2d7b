"""Rows of the table that compare.sh prints: what mitotools takes beside an alternative, in one run."""

from __future__ import annotations


def promise(what: str, against: str, ratio: float, *, least: float = 0.0, most: float = 0.0) -> None:
    """Print a row, and whether it is as promised.

    Parameters
    ----------
    what, against : str
        Of which the times are compared.
    ratio : float
        Times as fast, where `least` is promised; times as long, where `most` is.
    """
    words = f"{least:g} times as fast or more" if least else f"{most:g} times as long or less"
    is_kept = ratio >= least and (not most or ratio <= most)
    print(f"| {what} | {against} | {ratio:.2f} | {words} | {'yes' if is_kept else 'NO'} |", flush=True)
