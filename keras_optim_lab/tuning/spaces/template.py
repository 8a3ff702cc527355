"""What a study tunes: an optimizer by its name, or one that was given with all that is in it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from keras import Variable
from keras.saving import deserialize_keras_object

from keras_optim_lab import schedules
from keras_optim_lab.keras_private import serialized
from keras_optim_lab.optimizers import Optimizer, entry
from keras_optim_lab.optimizers.catalogue import get, name_of, spelled
from keras_optim_lab.optimizers.shell.field_kinds import Field
from keras_optim_lab.optimizers.shell.numeric import Numeric

_RATE = "learning_rate"


@dataclass(frozen=True)
class Template:
    """An optimizer of which a study changes some settings and leaves the others.

    Settings of an optimizer inside of others have the names of `Composed`: `lookahead.share`,
    `group_1.beta_1`.

    Attributes:
        name: what the study calls it.
        given: the optimizer; None for that of this name with its defaults.
    """

    name: str
    given: Optimizer | None = None

    @classmethod
    def of(cls, optimizer: str | Optimizer) -> "Template":
        """That of a name, which may be `"lookahead(adam)"`, or of an optimizer.

        Raises:
            ValueError: there is no such optimizer, or it cannot be made again with other numbers.
        """
        if isinstance(optimizer, str) and "(" not in optimizer:
            return cls(spelled(optimizer))
        given = get(optimizer)
        name = name_of(given)
        if given.built:
            raise ValueError(
                f"optimizer: {name} is in training already. Give a new one: "
                f"{type(given).__name__}.from_config(optimizer.get_config())."
            )
        for label, field in given.numeric.items():
            if not isinstance(source := field.given(given), Variable | None):
                raise ValueError(
                    f"optimizer: `{label}` of {name} is given by {source!r}, and a study sets "
                    'numbers. Give a number, and space={"schedule": ..., "warmup": ...}.'
                )
        return cls(name, given)

    @property
    def title(self) -> str:
        """The name of the class, with those of the optimizers inside."""
        return self._cls.__name__ if self.given is None else _title(self.given)

    @property
    def needs_objective(self) -> bool:
        """Whether it trains a `kol.Model` only."""
        return self._cls.needs_objective

    @cached_property
    def fields(self) -> dict[str, Field]:
        """What may be set, by name."""
        if self.given is None:
            fields = self._cls.fields.items()
            return {name: field for name, field in fields if field.may_be_set(self._cls)}
        numeric = self.given.numeric
        return {n: numeric.get(n, field) for n, (_, field) in self.given.settings().items()}

    @property
    def numeric(self) -> dict[str, Numeric]:
        """The numbers among them."""
        return {n: field for n, field in self.fields.items() if isinstance(field, Numeric)}

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """What they are if a study does not set them."""
        if self.given is None:
            return {name: field.default for name, field in self.fields.items()}
        return {n: field.config(each) for n, (each, field) in self.given.settings().items()}

    @cached_property
    def leaders(self) -> dict[str, str]:
        """By the setting of a group of the default's class, that of the default.

        They are one setting where they are equal; where they differ, the group keeps its own.
        """
        if self.given is None:
            return {}
        owners = self.given.settings()
        return {
            name: field.name
            for name, (owner, field) in owners.items()
            if "." in name and field.name in owners and type(owners[field.name][0]) is type(owner)
        }

    def completed(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that were chosen, and those that follow them."""
        followed = {
            name: chosen[leader]
            for name, leader in self.leaders.items()
            # All rates are in proportion to the default's already.
            if leader in chosen and leader != _RATE and self._default_equals(name, leader)
        }
        return {**chosen, **followed, **chosen}

    def make(self, settings: Mapping[str, Any]) -> Optimizer:
        """A new optimizer with these settings."""
        return self._cls(**settings) if self.given is None else self.given.changed(settings)

    @property
    def config(self) -> Any:
        """The optimizer that was given as Keras stores it, equal for equal ones."""
        return None if self.given is None else _nameless(serialized(self.given))

    @classmethod
    def from_config(cls, name: str, config: Any) -> "Template":
        """The template that `config` describes."""
        return cls(name, None if config is None else deserialize_keras_object(config))

    def _default_equals(self, name: str, leader: str) -> bool:
        return self.defaults[name] == self.defaults[leader]

    @property
    def _cls(self) -> type[Optimizer]:
        return entry(self.name).cls if self.given is None else type(self.given)


def _title(optimizer: Optimizer) -> str:
    inner = [_title(each) for each in getattr(optimizer, "members", {}).values()]
    return type(optimizer).__name__ + (f"({', '.join(inner)})" if inner else "")


def _nameless(config: Any) -> Any:
    """The configuration without the names of optimizers, which Keras counts up."""
    if isinstance(config, Mapping):
        return {key: _nameless(value) for key, value in config.items() if key != "name"}
    return [*map(_nameless, config)] if isinstance(config, list | tuple) else config


def expression(optimizer: Optimizer) -> str:
    """The Python expression that makes an optimizer, where `kol` is this package."""

    def public(found: re.Match[str]) -> str:
        return f"kol.{'schedules.' * (found[0] in schedules.__all__)}{found[0]}"

    return re.sub(r"\b[A-Z]\w*(?=\()", public, repr(optimizer))
