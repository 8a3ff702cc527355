"""Weights that are left out of weight decay."""

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from keras_optim_lab.optimizers.shell.paths import as_named_here


class Exclusions:
    """Which weights do not decay: variables, what patterns find, and what a saved model chose.

    Args:
        paths: of variables that were given one by one.
        keys: what the optimizer knows these variables by.
        patterns: regular expressions, searched in a weight's path.
        loaded: paths that variables had in the model that was saved.
    """

    def __init__(
        self,
        paths: Sequence[str] = (),
        keys: Iterable[Hashable] = (),
        patterns: Iterable[str] = (),
        loaded: Sequence[str] = (),
    ):
        self._paths = [*paths]
        self._keys = {*keys}
        self._patterns = sorted({*patterns})
        self._loaded = [*loaded]

    def have(self, key: Hashable, path: str) -> bool:
        return (
            key in self._keys
            or path in self._loaded
            or any(re.search(pattern, path) for pattern in self._patterns)
        )

    def go_by(self, paths: Iterable[str]) -> None:
        """Finds the loaded ones among the weights that there are."""
        self._loaded = as_named_here(self._loaded, paths)

    def config(self) -> dict[str, list[str]]:
        return {"paths": self._paths + self._loaded, "names": self._patterns}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Exclusions":
        return cls(patterns=config["names"], loaded=config["paths"])
