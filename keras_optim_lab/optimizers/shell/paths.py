"""Where weights stand: the paths in which patterns are searched, and by which keys choose them.

Keras names a weight after the scopes in which its layer was built. A model that is loaded builds
its layers in others: its own name is lost, and so are those of models inside of it. What was chosen
is to stay chosen, so an optimizer goes by the paths at which it first found the weights of a model,
and its configuration has them in their order.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from keras_optim_lab.keras_private import inner_layers
from keras_optim_lab.optimizers.shell.slots import Place


class Whereabouts:
    """The places of a model's weights, at the paths where they were first found.

    Args:
        owner: the optimizer that trains them.
        stored: what `config` gave.
    """

    def __init__(self, owner: Any, stored: dict[str, list[str]] | None = None):
        self.owner = owner
        self._stored = dict(stored or {})
        self._places: dict[Any, Place] = {}
        self._trained: list[Any] = []
        self._model: list[Any] | None = None
        self._adapters: list[Place] = []

    def find(self, trained: Sequence[Any], model: keras.Model | None) -> None:
        """Finds the weights that are to be trained, and the others of their model, if known."""
        self._trained = self._found("trained", trained)
        if model is not None:
            every = [*map(self.owner._var_key, model.weights)]
            frozen = set(every).difference(self._trained)
            own = zip(every, model.weights, strict=True)
            self._found("others", [weight for key, weight in own if key in frozen])
            self._model = every
            self._adapters = [*_adapters(map(self.of, _with_adapters(model)))]
        known = {*self._trained, *(self._model or ())}
        self._places = {key: place for key, place in self._places.items() if key in known}

    def _found(self, kind: str, weights: Sequence[Any]) -> list[Any]:
        places = [*map(place_of, weights)]
        stored = self._stored.pop(kind, [])
        if len(stored) == len(places) and all(map(_end_alike, stored, places)):
            places = [place._replace(path=path) for place, path in zip(places, stored, strict=True)]
        keys = [*map(self.owner._var_key, weights)]
        self._places = {**dict(zip(keys, places, strict=True)), **self._places}
        return keys

    def of(self, weight) -> Place:
        """Where a weight stands."""
        return self._places.get(self.owner._var_key(weight)) or place_of(weight)

    @property
    def others(self) -> list[Place] | None:
        """Weights that may join later: frozen ones, and the adapters of `enable_lora`."""
        return None if self._model is None else [*self._frozen, *self._adapters]

    @property
    def _frozen(self) -> list[Place]:
        trained = set(self._trained)
        return [self._places[key] for key in self._model or () if key not in trained]

    @property
    def paths(self) -> list[str]:
        """Of all weights that were found."""
        return [place.path for place in self._places.values()]

    def config(self) -> dict[str, list[str]]:
        found = {"trained": [self._places[key].path for key in self._trained]}
        if self._model is not None:
            found["others"] = [place.path for place in self._frozen]
        return {**found, **self._stored} if self._trained else self._stored


def _with_adapters(model: keras.Model) -> list[Any]:
    """Matrices that `enable_lora` gives two more."""
    layers = (layer for layer in inner_layers(model) if hasattr(layer, "enable_lora"))
    return [weight for layer in layers for weight in layer.variables if len(weight.shape) > 1]


def _adapters(places: Iterable[Place]) -> Iterator[Place]:
    for path, shape in places:
        layer, _, name = path.rpartition("/")
        yield Place(f"{layer}/lora_{name}_a", (*shape[:-1], 1))
        yield Place(f"{layer}/lora_{name}_b", (1, shape[-1]))


def path_of(variable) -> str:
    """A Keras variable's path, or the name of a bare framework variable."""
    return getattr(variable, "path", None) or str(variable.name)


def place_of(variable) -> Place:
    """Where a Keras variable or a bare framework variable stands."""
    return Place(path_of(variable), tuple(variable.shape))


def _end_alike(path: str, place: Place) -> bool:
    """Whether the names of layer and weight are the same, as far as both have them."""
    pairs = list(zip(reversed(path.split("/")), reversed(place.path.split("/")), strict=False))
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
