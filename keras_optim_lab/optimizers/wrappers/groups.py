"""Groups: one optimizer around several, each of which trains some of the weights."""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras
from keras import Variable
from keras.saving import deserialize_keras_object

from keras_optim_lab.keras_private import serialized
from keras_optim_lab.optimizers.catalogue import register
from keras_optim_lab.optimizers.shell.field_kinds import Constant, Field, KerasArgument
from keras_optim_lab.optimizers.shell.fields import NONNEGATIVE
from keras_optim_lab.optimizers.shell.numeric import Numeric
from keras_optim_lab.optimizers.shell.optimizer import Optimizer
from keras_optim_lab.optimizers.shell.paths import as_named_here
from keras_optim_lab.optimizers.shell.record import Record
from keras_optim_lab.optimizers.shell.slots import Place, Slot
from keras_optim_lab.optimizers.wrappers.composed import (
    Composed,
    Member,
    fast_weights,
    free_key,
    member,
)

# What chooses weights: a regular expression, a layer, the paths of weights, or a function. Keras's
# layers have no type.
Key = Any
_KEYS = (
    "a regular expression for paths, a Keras layer, a tuple of paths, or a function of a weight "
    "(its .path and .shape) that returns True or False"
)


class _Rules(Field):
    """Which optimizer trains which weights."""

    accepts = (
        'a dict such as {"embedding|head": kol.AdamW(3e-4), "bias|norm": {"weight_decay": 0.0}}'
    )
    tunable = False

    def check(self, owner, value):
        if not isinstance(value, Mapping):
            self.refuse(TypeError, owner, value)
        return {_checked_key(owner, key): rule for key, rule in value.items()}

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else optimizer.__dict__["_rules"]

    def __set__(self, optimizer, value):
        raise AttributeError("Groups: `rules` are fixed when the optimizer is created.")

    def config(self, optimizer):
        return [
            {"weights": _key_config(key), "optimizer": serialized(each)}
            for key, each in optimizer.rules.items()
        ]

    def from_config(self, value, custom_objects=None):
        if isinstance(value, Mapping):
            return value
        return {
            _key_from_config(each["weights"], custom_objects): deserialize_keras_object(
                each["optimizer"], custom_objects=custom_objects
            )
            for each in value
        }

    def shown(self, optimizer):
        return repr(optimizer.rules)


class _Reference(Constant):
    tunable = False


def _rules(*, doc: str) -> Any:
    return _Rules(inspect.Parameter.empty, doc=doc)


def _reference(*, doc: str) -> Any:
    return _Reference(None, accepts=NONNEGATIVE, doc=doc)


@register("groups", year=2012)
class Groups(Composed):
    """Several optimizers that share a model: each trains the weights of its group.

        w ← w − step of the first of `rules` whose key chooses w, or else of `default`

    The whole is one optimizer: one count of steps, one `learning_rate`, one clipping of all
    gradients together. Its `learning_rate` is the default's, and when a callback, a schedule or an
    assignment changes it, the rates of all others change in proportion. If the default is made with
    a schedule, the others keep to the numbers or schedules they were given.

    What Keras does around a step, such as `clipnorm`, `use_ema` or `gradient_accumulation_steps`,
    belongs to the whole; give it to the groups or to the default.

    When to use it:
        When parts of a model want different methods or rates: a new head on a trained body, Muon
        for matrices and AdamW for the rest, no decay of biases and norms.

    Reference:
        Groups of parameters as PyTorch has them, and `optax.multi_transform`.

    Relation to Keras:
        `keras.optimizers.MultiOptimizer` has no learning rate, counts steps per optimizer, and
        clips by the norm of each group.
    """

    main = "default"
    by_path = True

    rules: Mapping[Key, Optimizer] = _rules(
        doc="By key, an optimizer or a dict of fields in which it differs from the default. A key "
        f"is {_KEYS}; keys are tried in order, and the first that chooses a weight has it.",
    )
    default: Optimizer = member(doc="The optimizer of all other weights.")
    reference: float | None = _reference(
        doc="The default's rate at which the others have the rates that they were given.",
    )

    def _chosen_members(self, values):
        default: Optimizer = values["default"]
        chosen: dict[str, Optimizer] = {}
        taken = {name.partition(".")[0] for name in default.numeric}
        for i, (key, rule) in enumerate(values["rules"].items(), start=1):
            each = self._optimizer_for(key, rule, default)
            if any(each is other for other in [default, *chosen.values()]):
                each = each.changed({})
            self._check_around(key, each, default)
            chosen[free_key(f"group_{i}", taken | chosen.keys())] = each
        self.__dict__["_rules"] = dict(zip(values["rules"], chosen.values(), strict=True))
        self.__dict__["_keys"] = dict(zip(values["rules"], chosen, strict=True))
        self.__dict__["reference"] = self._reference_of(default, values["reference"])
        return {"default": default, **chosen}

    def _optimizer_for(self, key: Key, rule: Any, default: Optimizer) -> Optimizer:
        if isinstance(rule, Mapping):
            return default.changed(rule)
        if isinstance(rule, str | Optimizer):
            return Member.check(type(self).default, f"{type(self).__name__}, {key!r}", rule)  # type: ignore[arg-type]
        raise TypeError(
            f"{type(self).__name__}: each of `rules` must be an optimizer of this package, or a "
            "dict of fields in which it differs from the default. Received: "
            f"{key!r}: {rule!r}"
        )

    def _check_around(self, key: Key, each: Optimizer, default: Optimizer) -> None:
        for name, field in Optimizer.fields.items():
            whole = isinstance(field, KerasArgument) or name in ("execution", "compensated")
            value = getattr(each, name)
            if not whole or name == "name":
                continue
            if value not in (getattr(default, name), field.default):
                raise ValueError(
                    f"{type(self).__name__}: `{name}` belongs to the whole. Give {name}={value!r} "
                    f"to the groups, after `default`, instead of to {key!r}."
                )
            if isinstance(field, KerasArgument):
                setattr(each, name, field.default)  # the default keeps it

    def _reference_of(self, default: Optimizer, given: float | None) -> float | None:
        rate = default.numeric["learning_rate"]
        if given is None and isinstance(rate.given(default), Variable):
            given = rate.number(default)
        if given == 0:
            raise ValueError(
                f"{type(self).__name__}: the default's learning_rate must be > 0, as the others' "
                "change in proportion to it. Set it to 0 afterwards, or give `reference`. "
                "Received: learning_rate=0.0"
            )
        return given

    def _arguments_of(self, members):
        rules = {key: members[name] for key, name in self._keys.items()}
        return {"rules": rules, **super()._arguments_of(members)}

    def _numeric_of(self, key, name, field):
        lifted = super()._numeric_of(key, name, field)
        if key == self.main or name != "learning_rate":
            return lifted
        # No rate to whoever changes the rates of an optimizer: it follows that of the whole.
        number = Numeric(field.default, doc=field.doc, search=field.search)
        number.__set_name__(Groups, field.name)
        number.path = lifted.path
        return number

    def _shape_of(self, slot: Slot):
        return slot.shape or (lambda optimizer, place: place.shape)  # of some weights only

    # Which weights a member trains.

    def member_of(self, place: Place) -> str:
        """The key in `members` of the optimizer that trains a weight."""
        chosen = (self._keys[key] for key in self._rules if self._chooses(key, place))
        return next(chosen, self.main)

    def _chooses(self, key: Key, place: Place) -> bool:
        if isinstance(key, str):
            return re.search(key, place.path) is not None
        if isinstance(key, keras.layers.Layer):
            return any(place.path == variable.path for variable in key.variables)
        if isinstance(key, tuple):
            return place.path in self.__dict__.get("_here", {}).get(key, key)
        return bool(key(place))

    def _find_here(self, places: Sequence[Place] = ()) -> None:
        """Finds the paths of keys among those of all weights: in a loaded model they differ."""
        paths = self._whereabouts.paths or [place.path for place in places]
        named = (key for key in self._rules if isinstance(key, tuple))
        self.__dict__["_here"] = {key: frozenset(as_named_here([*key], paths)) for key in named}

    def _go_by(self, whereabouts):
        super()._go_by(whereabouts)
        self._find_here()

    def trains(self, key, place):
        return self.member_of(place) == key

    def parts(self, places):
        self._find_here(places)
        found: list[Any] = [None] * len(places)
        keys = [self.member_of(place) for place in places]
        for key, each in self.members.items():
            indices = [i for i, k in enumerate(keys) if k == key]
            inner = each.parts([places[i] for i in indices])
            for i, part in zip(indices, inner, strict=True):
                found[i] = (key, *part)
        return found

    def check_places(self, places, others=None):
        self._find_here([*places, *(others or ())])
        keys = [self.member_of(place) for place in places]
        later = [self.member_of(place) for place in others or ()]
        for key, name in self._keys.items():
            if name not in keys and name not in later:
                if others is None and isinstance(key, keras.layers.Layer) and key.variables:
                    continue  # it has some, which may be frozen
                chosen = [p.path for p in (*places, *(others or ())) if self._chooses(key, p)]
                why = (
                    f"chooses {', '.join(chosen)}, which keys before it have chosen"
                    if chosen
                    else "chooses no weight"
                )
                raise ValueError(
                    f"{type(self).__name__}: the key {key!r} {why}. The weights to be trained are: "
                    f"{_listed(places)}."
                    + (f" May join them: {_listed(others)}." if others else "")
                )
        for key, each in self.members.items():
            own = [place for place, k in zip(places, keys, strict=True) if k == key]
            its = [place for place, k in zip(others or (), later, strict=True) if k == key]
            each.check_places(own, None if others is None else its)

    def decays(self, place, key=None):
        each = self.members[self.member_of(place)]
        return super().decays(place, key) and each.decays(place, key)

    # A step.

    def prepare(self, shared, h):
        if self.reference is not None:
            factor = h.learning_rate / self.reference
            for key, each in self.members.items():
                if key != self.main:
                    h = self.put(h, key, each.at_rate(self.view(h, key), factor))
        return super().prepare(shared, h)

    def look(self, shared, h, gradients, weights, slots, parts):
        for key, each in self.members.items():
            own = [i for i, part in enumerate(parts) if part[0] == key]
            if own and each.surveys:
                part, inner = each.look(
                    self.view(shared, key),
                    self.view(h, key),
                    [gradients[i] for i in own],
                    [weights[i] for i in own],
                    [self.view(slots[i], key) for i in own],
                    [parts[i][1:] for i in own],
                )
                shared, h = self.put(shared, key, part), self.put(h, key, inner)
        return shared, h

    def rule(self, g, w, slot, h):
        key, own = self._part_of(h)
        step, inner = self.members[key].rule(g, w, self.view(slot, key), own)
        return step, self.put(slot, key, inner)

    def decayed(self, step, w, h):
        key, own = self._part_of(h)
        return self.members[key].decayed(step, w, own)

    def shown(self, w, slot, h):
        key, own = self._part_of(h)
        return self.members[key].shown(w, self.view(slot, key), own)

    def _part_of(self, h: Record) -> tuple[str, Record]:
        """The member that trains these weights, and its hyperparameters."""
        key, *part = h.part
        return key, self.view(h, key)(part=tuple(part))

    def fast_weights(self, place):
        key = self.member_of(place)
        found = fast_weights(self.members[key], place)
        return found and (self._name(key, found[0]), found[1])

    @property
    def form(self):
        return (*super().form, self.reference, tuple(self.members))


def groups(rules: Mapping[Key, Any], default: Optimizer | str, **arguments: Any) -> Groups:
    """One optimizer of several: each trains the weights that its key chooses.

        kol.groups(
            {"embedding|head": kol.AdamW(3e-4), "bias|norm": {"weight_decay": 0.0}},
            default=kol.Muon(2e-2),
        )

    Args:
        rules: by key, an optimizer, or a dict of fields in which it differs from the default. A key
            is a regular expression that is searched in the path of each weight (such as
            "encoder/layer_norm/gamma"), a Keras layer, a tuple of paths, or a function of a weight,
            which has a `path` and a `shape`. Keys are tried in order; the first that fits decides.
        default: the optimizer of all other weights; its learning rate is that of the whole, and the
            others' follow it in proportion.
        **arguments: of the whole, as every optimizer takes them: `clipnorm`, `clipvalue`,
            `global_clipnorm`, `use_ema`, `ema_momentum`, `ema_overwrite_frequency`,
            `loss_scale_factor`, `gradient_accumulation_steps` and `name`.

    Returns:
        An optimizer for `compile`, `tune` and all else that takes one.

    Raises:
        TypeError, ValueError: an argument is wrong; when the optimizer is built, a key chooses no
            weight of the model, of which those count that are frozen or that `enable_lora` would
            add. In a loop of one's own, where only the weights to be trained are known, a layer as
            a key may be frozen.
    """
    return Groups(rules, cast(Optimizer, default), **arguments)


def _listed(places: Sequence[Place]) -> str:
    return ", ".join(place.path for place in places)


def _checked_key(owner: str, key: Any) -> Key:
    if isinstance(key, str):
        try:
            re.compile(key)
        except re.error as error:
            raise ValueError(
                f"{owner}: a key must be {_KEYS}. Received: {key!r}, which is no regular "
                f"expression: {error}"
            ) from None
        return key
    paths = isinstance(key, tuple) and all(isinstance(path, str) for path in key)
    if paths or isinstance(key, keras.layers.Layer) or callable(key):
        return key
    raise TypeError(f"{owner}: a key must be {_KEYS}. Received: {key!r}")


def _key_config(key: Key) -> Any:
    if isinstance(key, str):
        return key
    if isinstance(key, keras.layers.Layer):
        paths = [variable.path for variable in key.variables]
        # A layer that has no weights yet can only be known by its name.
        return paths or f"(^|/){re.escape(key.name)}/"
    return list(key) if isinstance(key, tuple) else serialized(key)


def _key_from_config(config: Any, custom_objects) -> Key:
    if isinstance(config, list):
        return tuple(config)
    if isinstance(config, str):
        return config
    return deserialize_keras_object(config, custom_objects=custom_objects)
