"""How results show themselves: in a notebook, as a pandas frame, as axes of Matplotlib."""

import importlib
import math
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

Row = dict[str, Any]
_WIDTHS = {"column": 3.25, "text": 6.75}  # inches, of a page in two columns
_GOLDEN = 0.68  # height by width
_ROWS = 20  # of a table in a notebook
# Fonts of a PDF stay text, as publishers ask.
_PAPER: Any = {
    "font.size": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
}
_FONTS: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}


class Shown:
    """A result whose rows are numbers.

    A class of its own says `records`, `headline` and how it is drawn.
    """

    @property
    @abstractmethod
    def headline(self) -> str:
        """The result in a sentence."""

    @abstractmethod
    def records(self) -> list[Row]:
        """The rows, each a dict of numbers and words by the name of the column."""

    @abstractmethod
    def _draw(self, axes: Any) -> None:
        """Draws the result on axes of Matplotlib."""

    def to_frame(self) -> Any:
        """The rows as a `pandas.DataFrame`.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        return extra("pandas", "pandas", "A frame needs pandas").DataFrame.from_records(
            self.records()
        )

    def plot(
        self,
        ax: Any = None,
        *,
        width: Literal["column", "text"] = "column",
        path: str | Path | None = None,
    ) -> Any:
        """Draws the result with Matplotlib, for papers.

        Args:
            ax: axes to draw on; by default those of a new figure.
            width: of a new figure: "column", 3.25 inches, or "text", 6.75.
            path: a file to write the figure to as well, such as "race.pdf": vectors, with its text
                as text.

        Returns:
            The axes, whose figure is `ax.figure`.

        Raises:
            ValueError: `width` is something else.
            ModuleNotFoundError: Matplotlib is not installed.
        """
        if width not in _WIDTHS:
            raise ValueError(f"`width` must be 'column' or 'text'. Received: width={width!r}")
        matplotlib = extra("matplotlib", "pictures", "Pictures need Matplotlib")
        with matplotlib.rc_context(_PAPER):
            if ax is None:
                # Where pyplot is used, its `show`, and a notebook's cell, show the figure.
                pyplot = sys.modules.get("matplotlib.pyplot")
                new = (
                    pyplot.figure if pyplot else importlib.import_module("matplotlib.figure").Figure
                )
                size = _WIDTHS[width], _GOLDEN * _WIDTHS[width]
                ax = new(figsize=size, layout="constrained").subplots()
                ax.spines[["top", "right"]].set_visible(False)
            self._draw(ax)
            if path is not None:
                with matplotlib.rc_context(_FONTS):
                    ax.figure.savefig(path)
        return ax

    def _repr_html_(self) -> str:
        records = self.records()
        return html(self.headline, records[:_ROWS], len(records) - _ROWS)


def extra(module: str, name: str, need: str) -> ModuleType:
    """An optional package, or a ModuleNotFoundError that says how it is installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{need}: pip install "keras-optim-lab[{name}]".', name=error.name
        ) from None


def html(headline: str, records: Sequence[Mapping[str, Any]], more: int = 0) -> str:
    """A sentence and a table, in the notebook's own colours."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(record.get(name))}</td>" for name in columns) + "</tr>"
        for record in records
    )
    rest = f"<p>… and {more} more rows: <code>to_frame()</code></p>" if more > 0 else ""
    return (
        f"<div><p>{escape(headline)}</p><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{rest}</div>"
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def plain(value: Any) -> Any:
    """A value in types that JSON has: what is not finite is None, arrays are lists."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if hasattr(value, "tolist"):  # of NumPy
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def components(name: str, value: Any, parts: Sequence[str] = ()) -> Row:
    """A number, or each of an array's by the name of its part."""
    import numpy as np  # commands are imported without it

    flat = np.ravel(value).tolist()
    if len(flat) == 1:
        return {name: flat[0]}
    named = parts if len(parts) == len(flat) else [str(i) for i in range(len(flat))]
    return {f"{name}_{part}": number for part, number in zip(named, flat, strict=True)}
