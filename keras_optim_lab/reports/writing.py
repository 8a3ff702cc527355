"""Numbers, lists and commands as a reader wants them."""

import math
import shlex
from collections.abc import Mapping, Sequence


def number(value: object) -> str:
    """Four digits that tell numbers near 1 apart as well as those near 0; whole ones have all."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if not 0.9 < value < 1 else f"{1 - float(f'{1 - value:.4g}'):.12g}"


def plus_minus(mean: float, spread: float, digits: int = 4) -> str:
    """`0.0485 ± 0.0061`; the mean alone where the spread is NaN."""
    return f"{mean:.{digits}g}" + ("" if math.isnan(spread) else f" ± {spread:.2g}")


def or_none(value: float) -> float | None:
    """None in place of NaN and infinity, which JSON and figures have no number for."""
    return value if math.isfinite(value) else None


def point(numbers: Sequence[float]) -> str:
    """`0.5`, or `(-1.2, 1)`."""
    shown = [f"{number:g}" for number in numbers]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"


def listed(words: Sequence[str]) -> str:
    """Words with commas, and `and` before the last."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def command(name: str, options: Mapping[str, object], *arguments: str) -> str:
    """`keras-optim-lab NAME --seed=0 --folds=none …`."""
    words = [f"--{key}={'none' if value is None else value}" for key, value in options.items()]
    return shlex.join(["keras-optim-lab", name, *words, *arguments])
