"""What docstrings say, as Markdown: prose, formulas and code."""

import re
from collections.abc import Iterable, Sequence
from inspect import cleandoc

from building import formulas


def markdown(text: str) -> str:
    """The text above a docstring's sections, or within one."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n\s*\n", text.strip("\n")))


def _paragraph(text: str) -> str:
    if not text.startswith(" "):
        return text
    inside = cleandoc(text)
    if "kol." in inside:
        return f"```python\n{inside}\n```"
    return formula(inside)


def formula(text: str) -> str:
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(formulas.lines(text)) + "\n\\end{aligned}\n$$"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", *(part for part in parts if part)]) + "\n"
