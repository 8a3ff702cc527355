"""One HTML page: text, tables and figures, with Plotly's script in it or beside it."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from keras_optim_lab.files import write_whole

# Where pages of one folder share Plotly's script.
SHARED_SCRIPT = "plotly.min.js"

_STYLE = """
:root { color-scheme: light; --ink: #1d2433; --soft: #626b7b; --line: #e3e6ec; --accent: #d1495b; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 2.5rem 1.5rem 4rem; background: #fff;
  font: 16px/1.55 system-ui, sans-serif; color: var(--ink); }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; }
p { max-width: 46rem; margin: .4rem 0; }
.result { font-size: 1.15rem; border-left: 4px solid var(--accent); padding: .2rem 0 .2rem 1rem;
  margin: 1.2rem 0; }
.warnings { max-width: 46rem; background: #fdf6e7; border: 1px solid #ecd9ad; border-radius: 6px;
  padding: .8rem 1.1rem; margin: 1.2rem 0; font-size: .95rem; overflow-wrap: anywhere; }
.warnings ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.warnings li { margin: .25rem 0; }
.note { color: var(--soft); font-size: .93rem; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .9rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; color: var(--soft); font-size: .9rem; }
thead + tbody td { white-space: nowrap; }
.text td { text-align: left; vertical-align: top; }
.text td:first-child { color: var(--soft); white-space: nowrap; }
.text td:last-child { overflow-wrap: anywhere; }
.wide { overflow-x: auto; background:
  linear-gradient(to right, #fff 1.5rem, transparent) left / 3rem 100% no-repeat local,
  linear-gradient(to left, #fff 1.5rem, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to right, #1d243333, transparent) left / .9rem 100% no-repeat scroll,
  linear-gradient(to left, #1d243333, transparent) right / .9rem 100% no-repeat scroll; }
.wide::-webkit-scrollbar { height: 7px; }
.wide::-webkit-scrollbar-thumb { background: #b9c0cc; border-radius: 4px; }
.wide > .figure { min-width: 620px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
pre { background: #f6f7f9; padding: .9rem 1.1rem; border-radius: 6px; font-size: .9rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 600px) { body { padding: 1.2rem 1rem 3rem; } h1 { font-size: 1.5rem; }
  th, td { padding: .35rem .5rem; }
  .text td { display: block; padding-left: 0; }
  .text td:first-child { border-bottom: 0; padding-bottom: 0; } }
"""

_NARROW = 600  # pixels
_RELAYOUT = """
if (window.innerWidth <= %d) {
    const figure = document.getElementById('{plot_id}');
    figure.parentElement.style.height = figure.style.height = '%dpx';
    Plotly.relayout('{plot_id}', %s);
}"""


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
            post_script=narrow and _RELAYOUT % (_NARROW, narrow["height"], json.dumps(narrow)),
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
        script = f"<script>{get_plotlyjs()}</script>"
        if shared_script:
            script = f'<script src="{SHARED_SCRIPT}" charset="utf-8"></script>'
        script = script if self._figures else ""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            # Without an icon of its own a page makes browsers ask the server for one.
            '<link rel="icon" href="data:,">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{_STYLE}</style>\n{script}\n"
            "</head>\n<body>\n" + "\n".join(self._parts) + "\n</body>\n</html>\n"
        )


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
