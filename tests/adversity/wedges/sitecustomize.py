"""Read by each interpreter that has this folder on its path: a signal makes a collect process hang.

SIGUSR1 wedges the event loop, SIGUSR2 the flusher thread at its next look for work. Both for longer than a test lasts.
"""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

LONG_S = 600.0


def wedge_loop(number: int, frame: FrameType | None) -> None:
    """Signal handlers run in the main thread, which is the event loop's."""
    time.sleep(LONG_S)


def wedge_flusher(number: int, frame: FrameType | None) -> None:
    """The thread takes its next segment from here."""
    from server.flusher import Flusher

    def hang(flusher: Flusher) -> None:
        time.sleep(LONG_S)

    Flusher._take_ready = hang  # type: ignore[method-assign, assignment]


if "server.collect" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, wedge_loop)
    signal.signal(signal.SIGUSR2, wedge_flusher)
