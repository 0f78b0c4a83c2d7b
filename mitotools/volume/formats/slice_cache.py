"""The slices decoded last, shared by threads."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitotools.conventions import Array

KEPT = 2
"""Slices that are kept: those at the seam of two blocks."""


Place = TypeVar("Place")


class SliceCache(Generic[Place]):
    """Decodes slices once where several threads read parts of them, and keeps the last ones.

    Parameters
    ----------
    decode : callable
        Returns the slice of an index.
    """

    def __init__(self, decode: Callable[[Place], Array]) -> None:
        self._decode = decode
        self._lock = threading.Lock()
        self._kept: dict[Place, Future[Array]] = {}

    def get(self, index: Place) -> Array:
        """Return a slice, which is not to be changed; of threads that want the same, one decodes it."""
        with self._lock:
            known = self._kept.pop(index, None)
            future: Future[Array] = known or Future()
            self._kept[index] = future  # the newest stands last
            for oldest in list(self._kept)[:-KEPT]:
                del self._kept[oldest]
        if known is None:
            try:
                future.set_result(self._decode(index))
            except BaseException as error:
                future.set_exception(error)
                with self._lock:
                    self._kept.pop(index, None)
        return future.result()

    def clear(self) -> None:
        """Forget all slices."""
        with self._lock:
            self._kept.clear()
