"""Docstrings as Sphinx reads them.

They are plain text in which `names` and indented blocks mean what they do in Markdown; signs that
mean more in reStructuredText are escaped.
"""

import re
from typing import Any

from sphinx.application import Sphinx

_SECTION = re.compile(r"\S.*:$")


def to_restructured(lines: list[str]) -> list[str]:
    """Blocks that are indented above the sections become literal ones."""
    done: list[str] = []
    in_sections = False
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        following = lines[number + 1] if number + 1 < len(lines) else ""
        in_sections |= bool(_SECTION.match(line)) and following.startswith("    ")
        if line.startswith("    ") and not before.strip() and number and not in_sections:
            was_inside = next((each for each in reversed(lines[:number]) if each.strip()), "")
            if not was_inside.startswith(" "):
                done += ["::", ""]
        is_block = line.startswith(" ") and not in_sections
        done.append(line if is_block else _escaped(line))
    return done


def _escaped(line: str) -> str:
    """The line with * and | as they are, but for names in backticks."""
    parts = line.split("`")
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _process(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    lines[:] = to_restructured(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process, priority=400)  # before Napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
