"""Keeps passwords out of what others may read."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import URL

# Also `postgresql:/me:…`, of which a slash was lost, and `me:…@host`, which lacks its scheme; not
# `C:/studies`.
_URL = re.compile(r"\s*[^/\\\s]{2,}?:(?:/|.*@)", re.DOTALL)
_SCHEME = re.compile(r"\s*([\w+.-]+):/")
_HOST = re.compile(r"[\w.-]*|[\da-fA-F:.]+")
# Up to a closing quote, or else to the last @ of the line, since passwords and options may hold
# spaces.
_IN_TEXT = re.compile(
    r"(?<=')[A-Za-z][\w+.-]+:/[^\n']*(?=')|"
    r'(?<=")[A-Za-z][\w+.-]+:/[^\n"]*(?=")|'
    r"[A-Za-z][\w+.-]+:/(?:[^\n]*@)?[^\s'\"?]*(?:\?[^\n]*)?"
)


def is_url(storage: object) -> bool:
    """Whether a storage is meant as a URL, however badly it is written, and not as a path."""
    return _URL.match(str(storage)) is not None


def shown(storage: object) -> str:
    """A storage as it may be shown.

    Of a URL these are the user beside a password, the host, the database and the names of options;
    a name alone before the host may be a token. If it is not certain where the password ends, it is
    the scheme alone. A path is shown as it is.
    """
    text = str(storage)
    if not is_url(text):
        return text
    url = _taken_apart(text)
    if url is None:
        scheme = _SCHEME.match(text)
        return f"{scheme[1]}:…" if scheme else "…"
    place = text.partition("://")[2]
    user = ""
    if _names_user(url):
        place = place.partition("@")[2]
        user = "***@" if url.password is None else f"{url.username or ''}:***@"
    options = "&".join(f"{name}=***" for name in url.query)
    return f"{url.drivername}://{user}{place.partition('?')[0]}{'?' * bool(options)}{options}"


def without_password(text: object) -> str:
    """The text, with the URLs in it as they may be shown."""
    return _IN_TEXT.sub(lambda found: shown(found[0]), str(text))


def keeps_secret(error: BaseException, storage: object) -> bool:
    """Whether what an error says of a storage may be shown, and all that led to it."""
    if not is_url(storage):
        return True
    url = _taken_apart(str(storage))
    if url is None:
        return False
    written = str(storage).partition("@")[0].rpartition(":")[2]  # the password, not decoded
    secrets = [written, url.password] if url.password else []
    for values in url.normalized_query.values():
        secrets += [value for value in values if len(value) > 3]  # shorter ones are in many words
    return not any(secret in str(each) for each in _chain(error) for secret in map(str, secrets))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _taken_apart(text: str) -> "URL | None":
    """The parts of a URL; None if some of the password may be taken for another part."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the latter for its port
        return None
    if not _HOST.fullmatch(url.host or ""):
        return None
    if (_names_user(url) or url.host) and text.count("@") > _names_user(url):
        return None
    if _names_user(url) and "?" in text.partition("@")[0]:
        return None
    return url


def _names_user(url: "URL") -> bool:
    return url.username is not None or url.password is not None
