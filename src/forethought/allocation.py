"""Memory: what was freed is kept for the next tensor, and decisions do not wait for garbage."""

from __future__ import annotations

import ctypes
import functools
import gc
import platform
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

# Parameters of mallopt(3), from <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEPT = 2**31 - 1
"""Bytes that may lie unused before any is given back: as many as the call can say."""
AHEAD = 64 * 2**20
"""Bytes that are asked for at a time."""


@functools.cache
def keep_freed_memory() -> bool:
    """Asks glibc to keep what is freed instead of giving it back to the system at once.

    A training step frees and takes the same large tensors again and again. By default each goes
    back to the system and comes anew as pages that have to be cleared, which on virtual machines
    can take more time than the mathematics does (``make bench NAME=allocation``). The setting holds
    for the whole process and the rest of its life; at most, about a quarter more memory is in use.

    Returns:
        Whether it was done: not on systems without glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    asked = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, AHEAD))
    return all([bool(library.mallopt(name, value)) for name, value in asked])


def uninterrupted(function: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """A function during which Python looks for no garbage in cycles; it does so afterwards.

    A search makes thousands of objects, so that the collector would come by several times in every
    decision, and now and then look through all that the process holds. What is not in a cycle is
    freed at once as ever.
    """

    @functools.wraps(function)
    def call(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        if not gc.isenabled():
            return function(*args, **kwargs)
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            gc.enable()

    return call
