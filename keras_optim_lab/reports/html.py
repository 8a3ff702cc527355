"""One HTML page: text, tables and figures, with Plotly's script in it or beside it."""

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from keras_optim_lab.files import write_whole

# Where pages of one folder share Plotly's script.
SHARED_SCRIPT = "plotly.min.js"


class Page:
    """Collects the parts of a page in their order."""

    def __init__(self, title: str):
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        self._figures = 0

    def heading(self, text: str) -> None:
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str, kind: str = "") -> None:
        """A paragraph; `kind` is "result", "note" or nothing."""
        mark = f' class="{kind}"' if kind else ""
        self._parts.append(f"<p{mark}>{html.escape(text)}</p>")

    def warnings(self, title: str, sentences: Sequence[str]) -> None:
        """A box with a sentence for each warning; no box without any."""
        if sentences:
            items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
            self._parts.append(
                f'<aside class="warnings"><strong>{html.escape(title)}</strong>'
                f"<ul>{items}</ul></aside>"
            )

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of numbers under a header, its first column in words."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        self._parts.append(
            f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{_rows(rows)}</tbody></table></div>"
        )

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """A table of things by name, in words."""
        self._parts.append(f'<table class="text"><tbody>{_rows(rows)}</tbody></table>')

    def code(self, text: str) -> None:
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def figure(
        self,
        figure: go.Figure,
        height: int = 420,
        *,
        wide: bool = False,
        narrow: Mapping[str, Any] | None = None,
    ) -> None:
        """A figure.

        Args:
            figure: to be drawn.
            height: in pixels.
            wide: whether it is scrolled on a screen that is too narrow for it.
            narrow: what of its layout is different on such a screen, by Plotly's paths
                (`"yaxis.domain"`), with its height there.
        """
        drawn = self._drawn(figure, height, narrow)
        self._parts.append(f'<div class="wide">{drawn}</div>' if wide else drawn)

    def figures(self, figures: Sequence[go.Figure], height: int = 300) -> None:
        """Small figures side by side, as many as there is room for."""
        drawn = "".join(self._drawn(figure, height) for figure in figures)
        self._parts.append(f'<div class="grid">{drawn}</div>')

    def _drawn(
        self, figure: go.Figure, height: int, narrow: Mapping[str, Any] | None = None
    ) -> str:
        self._figures += 1
        script = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"figure-{self._figures}",
            default_height=height,
            auto_play=False,
            config={"displaylogo": False, "responsive": True},
            post_script=narrow and f"layOutWhereNarrow('{{plot_id}}', {json.dumps(narrow)});",
        )
        return f'<div class="figure">{script}</div>'

    def write(self, path: Path, *, shared_script: bool = False) -> Path:
        """Writes the page to `path`, whose folder is made if need be, and returns `path`.

        Args:
            path: of the page.
            shared_script: whether the page takes Plotly's script, some megabytes, from one file
                in its folder that all such pages share; by default the page holds it itself.
        """
        if shared_script:
            write_whole(path.with_name(SHARED_SCRIPT), get_plotlyjs())
        return write_whole(path, self.render(shared_script=shared_script))

    def render(self, *, shared_script: bool = False) -> str:
        plotly = f"<script>{get_plotlyjs()}</script>"
        if shared_script:
            plotly = f'<script src="{SHARED_SCRIPT}" charset="utf-8"></script>'
        script = f"{plotly}\n<script>\n{_text('narrow.js')}</script>" if self._figures else ""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            # Without an icon of its own a page makes browsers ask the server for one.
            '<link rel="icon" href="data:,">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>\n{_text('style.css')}</style>\n{script}\n"
            "</head>\n<body>\n" + "\n".join(self._parts) + "\n</body>\n</html>\n"
        )


def _text(name: str) -> str:
    """A file beside this one."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
