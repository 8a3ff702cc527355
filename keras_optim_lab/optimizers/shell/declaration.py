"""What a class body declares, and all that follows from it: signature, arguments, docstring."""

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

import keras

from keras_optim_lab.arguments import near_matches
from keras_optim_lab.optimizers.shell.field_kinds import Field, KerasArgument
from keras_optim_lab.optimizers.shell.fields import (
    choice,
    constant,
    count,
    decay,
    keras_argument,
    keras_number,
    nonnegative,
    pattern,
    rate,
    switch,
)
from keras_optim_lab.optimizers.shell.numeric import Numeric
from keras_optim_lab.optimizers.shell.slots import Slot

if TYPE_CHECKING:

    class KerasOptimizer:
        """What we call of Keras's class. Keras has no types, and type checkers would not check
        the arguments of a class whose base they do not know."""

        def __init__(self, **kwargs: Any): ...

        built: bool
        learning_rate: Any
        variables: list[Any]
        _iterations: Any
        _trainable_variables_indices: dict[Any, int]

        def __getattr__(self, name: str) -> Any: ...
        def build(self, variables: Any) -> None: ...
        def add_variable(self, *args: Any, **kwargs: Any) -> Any: ...
        def apply(self, grads: Any, trainable_variables: Any = None) -> None: ...
        def stateless_apply(self, *args: Any) -> Any: ...
        def _backend_update_step(self, *args: Any) -> None: ...
        def finalize_variable_values(self, var_list: Any) -> None: ...
        def exclude_from_weight_decay(self, *args: Any) -> None: ...
        def _untrack_variable(self, *variables: Any) -> None: ...
        def get_config(self) -> dict[str, Any]: ...
        def save_own_variables(self, store: Any) -> None: ...
        def load_own_variables(self, store: Any) -> None: ...

else:
    KerasOptimizer = keras.optimizers.Optimizer


@dataclass_transform(
    field_specifiers=(
        rate,
        decay,
        nonnegative,
        constant,
        switch,
        choice,
        count,
        pattern,
        keras_argument,
        keras_number,
    ),
)
class Declared:
    """A class whose constructor's arguments are the fields in its body.

    A class declared with `kw_only=True` takes its own fields by keyword only, one declared with
    `composed=True` inherits only what Keras does around a step, and the name.

    Attributes:
        slots: state for each weight, a `Slot` or the name of one.
        shared: scalars of state that all weights share.
        elementwise: whether the rule treats every number alone, so that it may be run once on many
            weights joined to one vector. If not, it is run on all weights of one shape, stacked.
        by_path: whether it depends on a weight's path what is done to it.
        squares: whether the rule squares gradients, or might; it is then given none whose square
            is infinite: larger ones, infinite ones too, count as 2⁵⁰ (2⁴⁹⁸ in float64).
        needs_objective: whether the method asks for more than a gradient, which only `kol.Model`
            and `kol.minimize` can give.
        branches: whether the rule does some of its work in some steps only, so that it depends on
            numbers what is to be computed.
        composed: whether it is made of other optimizers.
        rule_decays: whether the rule itself takes care of `h.weight_decay`; else η λ w is
            subtracted beside its step.
        fields: every field by name, in the order of the signature.
    """

    slots: ClassVar[tuple[str | Slot, ...]] = ()
    shared: ClassVar[tuple[str | Slot, ...]] = ()
    elementwise: ClassVar[bool] = True
    by_path: ClassVar[bool] = False
    squares: ClassVar[bool] = True
    needs_objective: ClassVar[bool] = False
    branches: ClassVar[bool] = False
    rule_decays: ClassVar[bool] = False
    composed: ClassVar[bool] = False

    fields: ClassVar[dict[str, Field]] = {}
    numeric: ClassVar[dict[str, Numeric]] = {}
    weight_slots: ClassVar[tuple[Slot, ...]] = ()
    shared_slots: ClassVar[tuple[Slot, ...]] = ()
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, *, kw_only: bool = False, composed: bool = False, **kwargs):
        super().__init_subclass__(**kwargs)
        own = {name: field for name, field in vars(cls).items() if isinstance(field, Field)}
        for field in own.values():
            field.kw_only |= kw_only
        # As in a dataclass: a field declared again keeps its place, keyword-only ones come last.
        cls.composed |= composed
        inherited = _of_the_whole(cls) if composed else cls.fields
        fields = {**inherited, **own}
        cls.fields = dict(sorted(fields.items(), key=lambda item: item[1].kw_only))
        cls.numeric = {n: field for n, field in cls.fields.items() if isinstance(field, Numeric)}
        cls.weight_slots = tuple(Slot(s) if isinstance(s, str) else s for s in cls.slots)
        cls.shared_slots = tuple(Slot(s) if isinstance(s, str) else s for s in cls.shared)
        cls.__signature__ = inspect.Signature([_parameter(cls, name) for name in cls.fields])
        if cls.__doc__:
            cls.__doc__ = _documented(cls)

    @classmethod
    def bind(cls, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """A constructor's arguments by name, defaults filled in.

        Raises:
            TypeError: an argument is unknown (the message lists near ones), missing or given twice.
        """
        unknown = [name for name in kwargs if name not in cls.fields]
        if unknown:
            raise TypeError(
                f"{cls.__name__} has no argument `{unknown[0]}`."
                f"{near_matches(unknown[0], cls.fields)} It accepts: {', '.join(cls.fields)}."
            )
        try:
            bound = cls.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}{cls.__signature__}: {error}.") from None
        bound.apply_defaults()
        return dict(bound.arguments)


def _of_the_whole(cls: type[Declared]) -> dict[str, Field]:
    """The fields of an optimizer made of others that are none of its members' alone."""
    arguments = {n: field for n, field in cls.fields.items() if isinstance(field, KerasArgument)}
    for name, field in arguments.items():
        if name != "name":
            arguments[name] = field.of_the_whole()
            arguments[name].__set_name__(cls, name)
            setattr(cls, name, arguments[name])
    return {**arguments}


def _parameter(cls: type[Declared], name: str) -> inspect.Parameter:
    field = cls.fields[name]
    kind = "KEYWORD_ONLY" if field.kw_only else "POSITIONAL_OR_KEYWORD"
    annotation = next(
        c.__annotations__[name] for c in cls.__mro__ if name in getattr(c, "__annotations__", {})
    )
    if field.default is None:
        annotation = annotation | None
    return inspect.Parameter(
        name, getattr(inspect.Parameter, kind), default=field.default, annotation=annotation
    )


def _documented(cls: type[Declared]) -> str:
    """The class's docstring with its arguments, written from the fields."""
    lines = [
        f"    {name}: {field.doc}"
        + ("" if field.default is inspect.Parameter.empty else f" Defaults to {field.default}.")
        for name, field in cls.fields.items()
    ]
    return "\n".join([inspect.cleandoc(cls.__doc__ or ""), "", "Args:", *lines, ""])
