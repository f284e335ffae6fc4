"""What may be said in a log line about an error that a task's function raised."""

from __future__ import annotations

import traceback


def described(error: BaseException) -> dict[str, str]:
    """For `extra`: the kind of error and where it happened. Its text may hold a mail address: it is left out."""
    return {"reason": type(error).__name__, "trace": "".join(traceback.format_tb(error.__traceback__))}
