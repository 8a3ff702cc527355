"""Formulas as MathML, which browsers draw themselves: no script, no font, nothing to fetch."""

import re
from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

_ALIGNED = re.compile(r"\\begin\{(aligned|align\*?)\}(.*)\\end\{\1\}", re.DOTALL)


def lines(latex: str) -> list[str]:
    """The lines of a displayed formula; what was aligned begins at the left instead."""
    aligned = _ALIGNED.fullmatch(latex.strip())
    parts = re.split(r"\\\\", aligned[2].replace("&", "")) if aligned else [latex]
    return [part.strip() for part in parts if part.strip()]


def mathml(latex: str, display: bool = False) -> str:
    """One line of LaTeX as a `<math>` element, whose text says the same to who cannot see it."""
    drawn = convert(latex)
    attributes = f' displaystyle="{str(display).lower()}" alttext="{escape(latex)}"'
    return drawn.replace("<math", f"<math{attributes}", 1)


def _visit_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _visit_block(translator: Any, node: nodes.math_block) -> None:
    drawn = "".join(f"<div>{mathml(line, display=True)}</div>" for line in lines(node.astext()))
    translator.body.append(f'<div class="formula">{drawn}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
