"""What a person can be told about a form: one error per field."""

from __future__ import annotations


class FormError(ValueError):
    """A form cannot be carried out as filled in; nothing was changed. `str()` is a sentence for the page."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class NotThere(LookupError):
    """What was named does not exist here, or no longer."""


class LinkInvalid(ValueError):
    """A link that was sent to somebody is wrong, used, replaced by a newer one, or expired. Nothing was changed."""


class NotAllowed(PermissionError):
    """The caller's role does not reach for this; `str()` says why. Nothing was changed."""
