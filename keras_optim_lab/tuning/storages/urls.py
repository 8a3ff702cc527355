"""Database URLs, and the driver behind a short one."""

from importlib.util import find_spec

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

# What speaks to a database if the URL names no driver: SQLAlchemy's first choice where it is
# installed, else the one of this package's extra.
_DRIVERS = {
    "postgresql": ("psycopg2", "psycopg", "postgresql"),
    "mysql": ("MySQLdb", "pymysql", "mysql"),
}

FORM = (
    "a URL has two slashes behind its dialect, and the characters @ : / ? of a password are "
    "written in it as %40 %3A %2F %3F"
)


def with_driver(url: str) -> str:
    """The URL with the driver that is installed here.

    Raises:
        ValueError: it is no URL of a database.
        ImportError: the database needs a driver that is not installed; the message tells which.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for its port
        raise ValueError(
            "it is not a database URL such as sqlite:///studies.db or "
            "postgresql://user@host/database"
        ) from None
    dialect, _, driver = parsed.drivername.partition("+")
    if dialect not in _DRIVERS:
        return url
    first, own, extra = _DRIVERS[dialect]
    if not driver:
        driver = first if find_spec(first) else own
        name = dialect if driver == first else f"{dialect}+{own}"
        parsed = parsed.set(drivername=name)
    if find_spec("MySQLdb" if driver == "mysqldb" else driver) is None:
        raise ImportError(
            f"{dialect} needs the package {driver!r}; pip install 'keras-optim-lab[{extra}]'"
        )
    return parsed.render_as_string(hide_password=False)
