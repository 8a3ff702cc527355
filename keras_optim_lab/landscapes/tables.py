"""Tables as the commands print them, and the same as plain text."""

import io

from rich.measure import Measurement
from rich.table import Table

from keras_optim_lab import terminal

_WIDEST = 10_000


def table(header: list[str], rows: list[list[str]]) -> Table:
    """Numbers under a header, no cell of which is broken."""
    found = terminal.table()
    for column in header:
        words = column in ("method", "learning rate", "arrived")
        found.add_column(column, justify="left" if words else "right", no_wrap=True)
    for row in rows:
        found.add_row(*row)
    return found


def width(table: Table) -> int:
    """The columns of a terminal that shows all of it."""
    wide = terminal.console(width=_WIDEST)
    return Measurement.get(wide, wide.options, table).maximum


def text(table: Table) -> str:
    """The table without colours, as wide as it is."""
    written = io.StringIO()
    plain = terminal.console(file=written, width=width(table), color_system=None)
    plain.print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def point(numbers: tuple[float, ...]) -> str:
    """`0.5`, or `(-1.2, 1)`."""
    shown = [f"{number:g}" for number in numbers]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"
