"""Keeps passwords out of what others may read."""

import re

_SECRET = re.compile(r"(?<=://)([^:/@\s]*):([^@\s]*)@")
_SECRET_OPTION = re.compile(r"(?i)([?&][^=&\s]*(?:password|passwd|token|secret)[^=&\s]*=)[^&\s]*")


def without_password(text: object) -> str:
    """The text, with *** for the passwords of the URLs in it."""
    return _SECRET_OPTION.sub(r"\1***", _SECRET.sub(r"\1:***@", str(text)))
