"""How this process keeps memory: it holds on to what arrays gave back, since the next decision takes it again."""

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 256 * 2**20
_LARGE_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Tell glibc not to return freed memory piece by piece; return whether there was a glibc to tell.

    By default it gives the top of the heap back to the system beyond 128 KiB, and every array above that directly;
    each decision on a large cluster then pays a page fault for every 4 KiB of its temporaries (measured at 50,000
    nodes: two thirds of the time of a decision with nothing remembered).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))


def spare_the_collector() -> None:
    """Let the cyclic collector look seldom, and never at what is there now.

    A worker keeps a struct per claim for good, the task queue one per waiting task, and what they let go of is hardly
    ever a cycle: at 100,000 of them each full collection would cost tens of milliseconds and find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
