"""The catalogue: optimizers by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import keras

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.optimizers.shell.optimizer import Optimizer

_T = TypeVar("_T", bound=type[Optimizer])


@dataclass(frozen=True)
class Entry:
    """An optimizer's row in the catalogue."""

    name: str
    cls: type[Optimizer]
    year: int

    @property
    def idea(self) -> str:
        """The first sentence of the docstring."""
        return (self.cls.__doc__ or "").strip().partition("\n")[0]

    @property
    def needs_objective(self) -> bool:
        """Whether it trains a `kol.Model` only, because it asks for more than gradients."""
        return self.cls.needs_objective


_ENTRIES: dict[str, Entry] = {}


def register(name: str, *, year: int, package: str = "keras_optim_lab") -> Callable[[_T], _T]:
    """Puts a class in the catalogue and makes it known to Keras serialization.

        @kol.optimizers.register("half", year=2026, package="mine")
        class Half(kol.GradientDescent):
            "Takes half of the step."

            def rule(self, g, w, slot, h):
                return h.learning_rate * g / 2, slot

    Args:
        name: its name in `get`, in `functional` and on the command line: an identifier.
        year: of first publication.
        package: the prefix of its name in saved models; give your own for a class of yours.

    Returns:
        A decorator, which returns the class.

    Raises:
        ValueError: the name is taken by another class, or is no identifier.
    """
    if not name.isidentifier():
        raise ValueError(f"An optimizer's name must be an identifier. Received: {name!r}")

    def enter(cls: _T) -> _T:
        known = _ENTRIES.get(name)
        if known and known.cls.__qualname__ != cls.__qualname__:
            raise ValueError(f"The name {name!r} belongs to {known.cls.__name__} already.")
        _ENTRIES[name] = Entry(name, cls, year)
        return keras.saving.register_keras_serializable(package=package)(cls)

    return enter


def names(*, needs_objective: bool = False) -> list[str]:
    """Names of optimizers in order of their year.

        kol.optimizers.names()    # ["gradient_descent", "momentum", …]

    Args:
        needs_objective: as in `entries`.

    Returns:
        Names for `get`, for `tune` and for the command.
    """
    return [entry.name for entry in entries(needs_objective=needs_objective)]


def entries(*, needs_objective: bool = False) -> list[Entry]:
    """The catalogue in order of year.

        recent = [row.name for row in kol.optimizers.entries() if row.year > 2022]

    Args:
        needs_objective: the methods that need the loss itself, and so a `kol.Model`, instead of
            those that train any Keras model.

    Returns:
        A row for each, with its `name`, `cls`, `year` and `idea`.
    """
    found = [
        row
        for row in _ENTRIES.values()
        if row.needs_objective == needs_objective and not row.cls.composed
    ]
    return sorted(found, key=lambda entry: entry.year)


def compositions() -> list[Entry]:
    """What goes around other optimizers, in order of year."""
    found = [row for row in _ENTRIES.values() if row.cls.composed]
    return sorted(found, key=lambda entry: entry.year)


def entry(name: str, *, composed: bool = False) -> Entry:
    """The catalogue's row for `name`, whose case, spaces, `-` and `_` do not matter.

        kol.optimizers.entry("AdamW").idea

    Args:
        name: of an optimizer.
        composed: whether it may be that of what goes around others, too.

    Returns:
        The row, with `name`, `cls`, `year` and `idea`.

    Raises:
        TypeError: the name is no string.
        ValueError: no optimizer has this name; the message lists near ones.
    """
    row = _row(_text(name))
    if row is None:
        raise ValueError(
            f"There is no optimizer {name!r}.{near_matches(name, _ENTRIES)} "
            f"Known: {', '.join(names() + names(needs_objective=True))}."
        )
    if row.cls.composed and not composed:
        call = "kol.groups(rules, default)"
        if _wraps(row):
            call = f'kol.{row.cls.__name__}("adam"), or name both: "{row.name}(adam)"'
        raise ValueError(f"{name!r} goes around others and is no optimizer alone. Call {call}.")
    return row


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"`name` must be an optimizer's name. Received: name={name!r}")
    return name


def get(name: str | Optimizer, /, **hyperparameters: Any) -> Optimizer:
    """A new optimizer by name.

        kol.optimizers.get("radam", learning_rate=3e-4)
        kol.optimizers.get("lookahead(adam)")

    Args:
        name: of an optimizer, or of one around another; or an optimizer, so that arguments may be
            either.
        **hyperparameters: as its class takes them.

    Returns:
        A new optimizer, or the one that was given.

    Raises:
        TypeError, ValueError: there is none of this name, or it takes no such hyperparameter.
    """
    if isinstance(name, keras.optimizers.Optimizer) and not hyperparameters:
        return name
    name = _text(name)
    outer, opened, inner = name.strip().partition("(")
    if opened and inner.endswith(")"):
        return _wrapper(outer).cls(inner[:-1], **hyperparameters)
    return entry(name).cls(**hyperparameters)


def name_of(optimizer: Optimizer) -> str:
    """What `get` would make another of its kind from; of groups, the names of all members."""
    known = (row.name for row in _ENTRIES.values() if row.cls is type(optimizer))
    name = next(known, type(optimizer).__name__)
    inner = [name_of(each) for each in getattr(optimizer, "members", {}).values()]
    return f"{name}({', '.join(inner)})" if inner else name


def spelled(name: str) -> str:
    """A name that `get` knows, as the catalogue writes it: "Lookahead(Adam)" → "lookahead(adam)".

    Raises:
        ValueError: `get` would not know it.
    """
    return name_of(get(name)) if "(" in name else entry(name).name


def _wrapper(name: str) -> Entry:
    row = _row(name)
    if row is None or not _wraps(row):
        wrappers = [row.name for row in compositions() if _wraps(row)]
        raise ValueError(
            f"{name!r} goes around no other optimizer.{near_matches(name, wrappers)} "
            f"Wrappers: {', '.join(wrappers)}."
        )
    return row


def _wraps(row: Entry) -> bool:
    return "optimizer" in row.cls.fields


def _row(name: str) -> Entry | None:
    found = (row for known, row in _ENTRIES.items() if _plain(known) == _plain(name))
    return next(found, None)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
