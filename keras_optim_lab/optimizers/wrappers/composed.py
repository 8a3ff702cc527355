"""Optimizers made of others: a wrapper is an optimizer around one, groups are one around several.

To the shell either is one optimizer. Its numbers, slots and shared state are those of its members,
under their own names for the main member and as `key.name` for others; `prepare`, `rule` and all
the rest hand each member its part of these records. Members keep hyperparameters, and no state.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from keras.saving import deserialize_keras_object

from keras_optim_lab.keras_private import serialized, to_snake_case
from keras_optim_lab.optimizers import catalogue
from keras_optim_lab.optimizers.shell.averaging import Following
from keras_optim_lab.optimizers.shell.field_kinds import Field, KerasNumber, OfTheWhole
from keras_optim_lab.optimizers.shell.numeric import Numeric
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.paths import Whereabouts
from keras_optim_lab.optimizers.shell.record import Record
from keras_optim_lab.optimizers.shell.slots import Place, Slot


class Member(Field):
    """An optimizer inside of another."""

    accepts = "an optimizer of this package, or the name of one"
    tunable = False

    def check(self, owner, value):
        if isinstance(value, str):
            value = catalogue.get(value)
        if not isinstance(value, Optimizer):
            self.refuse(TypeError, owner, value)
        if value.needs_objective:
            raise ValueError(
                f"{owner}: `{self.name}` cannot be {type(value).__name__}, which asks for the loss "
                "itself and not only for its gradient. Leave out what is around it."
            )
        if value.built:
            raise ValueError(
                f"{owner}: `{self.name}` is in training already, with slots of its own. Give a new "
                f"one: {type(value).__name__}.from_config(optimizer.get_config())."
            )
        return value

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else optimizer.members[self.name]

    def __set__(self, optimizer, value):
        raise AttributeError(
            f"{type(optimizer).__name__}: `{self.name}` is fixed when the optimizer is created. "
            f"Its numbers are live: set optimizer.{self.name}.learning_rate and others."
        )

    def config(self, optimizer):
        return serialized(optimizer.members[self.name])

    def from_config(self, value, custom_objects=None):
        if isinstance(value, Optimizer):
            return value
        return deserialize_keras_object(value, custom_objects=custom_objects)

    def shown(self, optimizer):
        return repr(optimizer.members[self.name])


def member(*, doc: str) -> Any:
    """Declares an optimizer inside of another."""
    return Member(inspect.Parameter.empty, doc=doc)


_NONE = Slot("")


@dataclass(frozen=True)
class MemberSlot(Slot):
    """A slot of a member, as the optimizer around it has it."""

    key: str = ""
    inner: Slot = _NONE

    def exists(self, optimizer):
        return self.inner.exists(optimizer.members[self.key])

    def first_value(self, optimizer):
        return self.inner.first_value(optimizer.members[self.key])

    def layout(self, optimizer, place, dtype):
        if not optimizer.trains(self.key, place):
            return None
        return self.inner.layout(optimizer.members[self.key], place, dtype)


class Composed(Following, composed=True):
    """An optimizer made of others.

    What Keras does around a step (clipping, averages, accumulation, loss scaling) is done once, for
    the whole: it may be given to it or to the main member, which keeps it. `execution` and
    `compensated` are the main member's.

    Attributes:
        main: the key of the member whose names are the whole's, and whose learning rate.
        members: by key, the main one first.
        own: the key of what it declares itself.
    """

    squares = False
    main: ClassVar[str]

    @property
    def members(self) -> dict[str, Optimizer]:
        return self.__dict__.get("members", {})  # none yet while Keras's constructor runs

    @property
    def own(self) -> str:
        return self.__dict__["own"]

    @property
    def _around(self) -> list[str]:
        """What Keras does around a step, by the names of the arguments that tell it to."""
        return [name for name, field in self.fields.items() if isinstance(field, OfTheWhole)]

    def _keras_arguments(self, values):
        main, arguments = values[self.main], super()._keras_arguments(values)
        for name, given in arguments.items():
            inner = getattr(main, name)
            if given is None:
                arguments[name] = inner
            elif name != "name" and inner not in (given, Optimizer.fields[name].default):
                raise ValueError(
                    f"{type(self).__name__}: `{name}` is done once, for the whole, and was given "
                    f"twice: {name}={given!r} here and {name}={inner!r} to `{self.main}`. Leave "
                    "one of them out."
                )
        return {**arguments, "name": values["name"]}

    def _chosen_members(self, values: dict[str, Any]) -> dict[str, Optimizer]:
        """Members by key, from the checked arguments."""
        return {self.main: values[self.main]}

    def _compose(self, values):
        for name in self._around:
            setattr(values[self.main], name, self.__dict__.pop(name, None))
        members = self.__dict__["members"] = self._chosen_members(values)
        self._inner = list(members.values())  # where TensorFlow's checkpoints find variables
        for each in members.values():
            each.count_by(self._iterations)
        main = members[self.main]
        cls = type(self)
        stored = (each._whereabouts.config() for each in members.values())
        self.__dict__["_found"] = Whereabouts(self, next(filter(None, stored), None))
        names = {name.partition(".")[0] for name in self._member_names(self.main)}
        own = self.__dict__["own"] = free_key(to_snake_case(cls.__name__), names)
        low = next((each.state_dtype for each in members.values() if each.state_dtype), None)
        self.__dict__.update(
            numeric={
                **{
                    self._name(key, name): self._numeric_of(key, name, field)
                    for key, each in members.items()
                    for name, field in each.numeric.items()
                },
                **{f"{own}.{name}": field for name, field in cls.numeric.items()},
            },
            weight_slots=self._slots_of("weight_slots"),
            shared_slots=self._slots_of("shared_slots"),
            elementwise=cls.elementwise and all(each.elementwise for each in members.values()),
            branches=cls.branches or any(each.branches for each in members.values()),
            rule_decays=cls.rule_decays or main.rule_decays,
            squares=cls.squares or any(each.squares for each in members.values()),
            execution=main.execution,
            compensated=main.compensated,
            state_dtype=low,
        )

    def _member_names(self, key: str) -> list[str]:
        each = self.members[key]
        return [*each.numeric, *(slot.name for slot in (*each.weight_slots, *each.shared_slots))]

    def _name(self, key: str, name: str) -> str:
        return name if key == self.main else f"{key}.{name}"

    def _numeric_of(self, key: str, name: str, field: Numeric) -> Numeric:
        return field.of_member(key)

    def _slots_of(self, kind: str) -> tuple[Slot, ...]:
        of_members = (
            MemberSlot(
                self._name(key, slot.name),
                shape=self._shape_of(slot),
                low_precision=slot.low_precision,
                key=key,
                inner=slot,
            )
            for key, each in self.members.items()
            for slot in getattr(each, kind)
        )
        own = (replace(slot, name=f"{self.own}.{slot.name}") for slot in getattr(type(self), kind))
        return (*of_members, *own)

    def _shape_of(self, slot: Slot):
        return slot.shape

    def trains(self, key: str, place: Place) -> bool:
        """Whether the member `key` has a part in the steps of a weight."""
        return True

    def count_by(self, iterations):
        super().count_by(iterations)
        for each in self.members.values():
            each.count_by(iterations)

    @property
    def variables(self):  # type: ignore[override]
        own = super().variables
        return own + [
            variable
            for each in self.members.values()
            for variable in each.variables
            if variable is not self._iterations
        ]

    @property
    def learning_rate(self):
        """That of the main member."""
        return self.members[self.main].learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.members[self.main].learning_rate = value

    @property  # type: ignore[misc]
    def weight_decay(self):
        """That of the main member."""
        return self.members[self.main].weight_decay if self.members else None

    @weight_decay.setter
    def weight_decay(self, value):
        if self.members:
            self.members[self.main].weight_decay = value

    def build(self, variables):
        super().build(variables)
        for each in self.members.values():
            each.built = True  # from here on, its numbers stay numbers

    def _go_by(self, whereabouts):
        super()._go_by(whereabouts)
        for each in self.members.values():
            each._go_by(whereabouts)

    @property
    def goes_by_paths(self):
        return super().goes_by_paths or any(each.goes_by_paths for each in self.members.values())

    # Each member's part of a record, seen and put back.

    def view(self, record: Record, key: str) -> Record:
        return record if key == self.main else record.within(key)

    def put(self, record: Record, key: str, part: Record) -> Record:
        return part if key == self.main else record.including(key, part)

    def _through(self, function: Callable[[Optimizer, Record], Record], record: Record) -> Record:
        for key, each in self.members.items():
            record = self.put(record, key, function(each, self.view(record, key)))
        return record

    def undecayed(self, h):
        return self._through(lambda each, h: each.undecayed(h), h)

    def at_rate(self, h, factor):
        return self._through(lambda each, h: each.at_rate(h, factor), h)

    def prepare(self, shared, h):
        for key, each in self.members.items():
            part, inner = each.prepare(self.view(shared, key), self.view(h, key))
            shared, h = self.put(shared, key, part), self.put(h, key, inner)
        return shared, h

    @property
    def surveys(self):
        return any(each.surveys for each in self.members.values())

    @property
    def averages(self):
        return any(each.averages for each in self.members.values())

    @property
    def form(self):
        return (*super().form, *(each.form for each in self.members.values()))

    def kind(self, place, dtype):
        trained = (each for key, each in self.members.items() if self.trains(key, place))
        return super().kind(place, dtype), tuple(each.kind(place, dtype) for each in trained)

    def settings(self):
        of_members = {
            self._name(key, name): found
            for key, each in self.members.items()
            for name, found in each.settings().items()
            if key == self.main or not isinstance(found[1], KerasNumber)  # it is the whole's
        }
        return {**of_members, **{f"{self.own}.{n}": f for n, f in super().settings().items()}}

    @property
    def excludes(self):
        return super().excludes or any(each.excludes for each in self.members.values())

    def changed(self, changes: Mapping[str, Any]) -> Optimizer:
        own: dict[str, Any] = {}
        inner: dict[str, dict[str, Any]] = {key: {} for key in self.members}
        of_main = self.members[self.main].settings()
        for name, value in changes.items():
            key, _, rest = name.partition(".")
            if name in self.fields and name not in self._around and name not in of_main:
                own[name] = value
            elif key == self.own:
                own[rest] = value
            elif rest and key in self.members:
                inner[key][rest] = value
            else:
                inner[self.main][name] = value
        members = {key: each.changed(inner[key]) for key, each in self.members.items()}
        return super().changed({**self._arguments_of(members), **own})

    def get_config(self):
        return {n: value for n, value in super().get_config().items() if n not in self._around}

    def _arguments_of(self, members: Mapping[str, Optimizer]) -> dict[str, Any]:
        """The constructor's arguments that make it of these members."""
        return {self.main: members[self.main]}


class Wrapper(Composed):
    """An optimizer around one other, `optimizer`."""

    main = "optimizer"
    optimizer: Optimizer = member(doc="The optimizer that is wrapped, or its name.")

    def gradient(self, g, w, h: Record):
        """What the wrapped optimizer is to see of a stack of gradients."""
        return g

    @property
    def _changes_gradients(self) -> bool:
        return type(self).gradient is not Wrapper.gradient

    def rule(self, g, w, slot, h):
        return self.optimizer.rule(self.gradient(g, w, h), w, slot, h)

    def decayed(self, step, w, h):
        return step if type(self).rule_decays else self.optimizer.decayed(step, w, h)

    def look(self, shared, h, gradients, weights, slots, parts):
        if self.optimizer.surveys and self._changes_gradients:
            pairs = zip(gradients, weights, strict=True)
            gradients = [self.gradient(g[None], w[None], h)[0] for g, w in pairs]
        return self.optimizer.look(shared, h, gradients, weights, slots, parts)

    def parts(self, places: Sequence[Place]):
        return self.optimizer.parts(places)

    def check_places(self, places, others=None):
        self.optimizer.check_places(places, others)

    def shown(self, w, slot, h):
        return self.optimizer.shown(w, slot, h)

    def fast_weights(self, place):
        return fast_weights(self.optimizer, place)

    def decays(self, place, key=None):
        return super().decays(place, key) and self.optimizer.decays(place, key)

    def _refuse_averages(self) -> None:
        if self.optimizer.averages:
            raise ValueError(
                f"{type(self).__name__}: `optimizer` cannot be {type(self.optimizer).__name__}, "
                "whose steps lead from one average of its weights to the next. Use it alone."
            )


def fast_weights(optimizer: Optimizer, place: Place) -> tuple[str, float] | None:
    """The slot of a weight that the optimizer averages, and β; see `Following`."""
    return optimizer.fast_weights(place) if isinstance(optimizer, Following) else None


def free_key(key: str, taken: set[str]) -> str:
    """The key, with a number where an optimizer inside has it already."""
    number = 2
    found = key
    while found in taken:
        found, number = f"{key}_{number}", number + 1
    return found
