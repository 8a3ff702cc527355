"""Where weights stand: the paths in which patterns are searched, and by which keys choose them.

Keras names a weight after the scopes in which its layer was built. A model that is loaded builds
its layers in others: its own name is lost, and so are those of models inside of it. What was chosen
is to stay chosen, so an optimizer goes by the paths at which it first found the weights of a model,
and its configuration has them in their order.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_optim_lab.optimizers.slots import Place


class Whereabouts:
    """The places of a model's weights, at the paths where they were first found.

    Args:
        owner: the optimizer that trains them.
        stored: what `config` gave.
    """

    def __init__(self, owner: Any, stored: dict[str, list[str]] | None = None):
        self.owner = owner
        self._stored = dict(stored or {})
        self._paths: dict[Any, str] = {}
        self._found: dict[str, list[Place]] = {}
        self._may_come: list[Place] = []

    def find(self, trained: Sequence[Any], model: keras.Model | None) -> None:
        """Finds the weights that are to be trained, and the others of their model, if known."""
        self._found["trained"] = self._places("trained", trained)
        if model is not None:
            own = {self.owner._var_key(weight) for weight in trained}
            others = [weight for weight in model.weights if self.owner._var_key(weight) not in own]
            self._found["others"] = self._places("others", others)
            self._may_come = [
                Place(f"{layer}/lora_{name}_{end}", shape)
                for weight in _with_adapters(model)
                for layer, _, name in [self.of(weight).path.rpartition("/")]
                for end, shape in [("a", (*weight.shape[:-1], 1)), ("b", (1, weight.shape[-1]))]
            ]

    def _places(self, kind: str, weights: Sequence[Any]) -> list[Place]:
        paths = [path_of(weight) for weight in weights]
        stored = self._stored.pop(kind, [])
        if len(stored) == len(paths) and all(map(_end_alike, stored, paths)):
            paths = stored
        for weight, path in zip(weights, paths, strict=True):
            self._paths.setdefault(self.owner._var_key(weight), path)
        return [*map(self.of, weights)]

    def of(self, weight) -> Place:
        """Where a weight stands."""
        path = self._paths.get(self.owner._var_key(weight))
        return place_of(weight) if path is None else Place(path, tuple(weight.shape))

    @property
    def others(self) -> list[Place] | None:
        """Weights that may join later: frozen ones, and the adapters of `enable_lora`."""
        others = self._found.get("others")
        return None if others is None else [*others, *self._may_come]

    @property
    def paths(self) -> list[str]:
        """Of all weights that were found."""
        return [place.path for places in self._found.values() for place in places]

    def config(self) -> dict[str, list[str]]:
        found = {kind: [place.path for place in own] for kind, own in self._found.items()}
        return {**found, **self._stored}


def _with_adapters(model: keras.Model) -> list[Any]:
    """Matrices that `enable_lora` gives two more."""
    layers = (layer for layer in model._flatten_layers() if hasattr(layer, "enable_lora"))
    return [weight for layer in layers for weight in layer.variables if len(weight.shape) > 1]


def path_of(variable) -> str:
    """A Keras variable's path, or the name of a bare framework variable."""
    return getattr(variable, "path", None) or str(variable.name)


def place_of(variable) -> Place:
    """Where a Keras variable or a bare framework variable stands."""
    return Place(path_of(variable), tuple(variable.shape))


def _end_alike(path: str, other: str) -> bool:
    """Whether the names of layer and weight are the same, as far as both have them."""
    pairs = list(zip(reversed(path.split("/")), reversed(other.split("/")), strict=False))
    return all(name == its for name, its in pairs[:2])


def as_named_here(loaded: list[str], weights: Iterable[str]) -> list[str]:
    """The paths that weights had in a saved model, as they are in the model that was loaded.

    The first part of every path, the model's own name, may be lost on the way, or new. Which of it
    happened is the same for all weights, and what finds most of them: one by one, `dense/kernel`
    might as well be `encoder/dense/kernel`.
    """
    known = set(weights)
    roots = {path.partition("/")[0] for path in known}
    lost = [path.partition("/")[2] for path in loaded]
    new = [f"{root}/{path}" for root in roots if len(roots) == 1 for path in loaded]
    return max((loaded, lost, new), key=lambda paths: len(known.intersection(paths)))
