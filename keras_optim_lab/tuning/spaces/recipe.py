"""What a study may choose beside the optimizer: schedule, batch size and epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from keras_optim_lab.arguments import whole_number
from keras_optim_lab.schedules import DECAYS, check_decay, check_warmup
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.spaces.parameters import bounds, bounds_of_numbers, pair


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, whichever the optimizer.

    Attributes:
        schedule: how the learning rate falls, a name of `schedules.DECAYS`.
        warmup: share of the training's steps in which it rises before.
        batch_size: samples per step; None for the task's own.
        epochs: passes over the training data; None for the task's own.
    """

    schedule: str = "constant"
    warmup: float = 0.0
    batch_size: int | None = None
    epochs: int | None = None

    @classmethod
    def of(cls, task: Task) -> "Recipe":
        """A task's own. It has no batch size where a pipeline makes the batches."""
        return cls(batch_size=None if task.streams else task.batch_size, epochs=task.epochs)

    def completed(self, own: "Recipe") -> "Recipe":
        """The same with what it leaves to the task."""
        batch_size = self.batch_size or own.batch_size
        return replace(self, batch_size=batch_size, epochs=self.epochs or own.epochs)

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate changes during training."""
        return self.schedule != "constant" or self.warmup != 0

    @property
    def fit(self) -> str | None:
        """What `model.fit` is to be told, as code; None where the task says all of it."""
        said = {name: value for name, value in asdict(self).items() if name in WHOLE and value}
        given = ", ".join(f"{name}={value}" for name, value in said.items())
        return f"model.fit(x, y, {given}, ...)" if given else None


# That of a task of arrays which is not known yet, so that no number is that of the task.
OF_SOME_TASK = Recipe(batch_size=0, epochs=0)
# By name, what a training is like where a study does not speak of it.
AS_USUAL = Recipe()
USUAL = asdict(AS_USUAL)
NAMES = " and ".join([", ".join([*USUAL][:-1]), [*USUAL][-1]])
SCHEDULE, WHOLE = ("schedule", "warmup"), ("batch_size", "epochs")


def of_recipe(key: str, value: Any, own: Recipe) -> Any:
    """The distribution of a name of the recipe, or what fixes it.

    Args:
        key: the name.
        value: that a user gave.
        own: the recipe of the task.

    Raises:
        TypeError, ValueError: it is neither.
    """
    match key:
        case "schedule":
            return _schedule(value)
        case "warmup":
            return _warmup(value)
    if getattr(own, key) is None:
        where = "a data pipeline makes its batches itself" if own.epochs else "there is no task"
        raise ValueError(
            f"space: {key!r} is a choice of how a task of arrays is trained, and here {where}. "
            "Leave it out."
        )
    return _batch_size(value) if key == "batch_size" else _epochs(value)


def _schedule(value: Any) -> BaseDistribution | str:
    """A name that fixes the decay, or the choice among several."""
    if isinstance(value, str):
        return check_decay("space", "schedule", value)
    names = _choices(
        "schedule",
        value,
        f"a name, or a list or CategoricalDistribution of names: {', '.join(DECAYS)}",
    )
    for name in names:
        check_decay("space", "schedule", name)
    return _once_each("schedule", names)


def _warmup(value: Any) -> BaseDistribution | float:
    """A number that fixes the warm-up, or what is searched."""
    if isinstance(value, BaseDistribution):
        for bound in bounds_of_numbers(value):
            check_warmup("space", bound)
        return value
    if isinstance(value, tuple | list):
        low, high = (check_warmup("space", bound) for bound in pair("warmup", value))
        if low > high:
            raise ValueError(f"space: 'warmup' takes low ≤ high. Received: {low}, {high}")
        return FloatDistribution(low, high)
    return check_warmup("space", value)


def _batch_size(value: Any) -> BaseDistribution | int:
    """A size, or the choice among several: each is a program of its own."""
    if isinstance(value, CategoricalDistribution | list):
        return _whole_numbers("batch_size", value)
    if isinstance(value, BaseDistribution | tuple):
        raise TypeError(
            "space: 'batch_size' takes a list such as [16, 32, 64] and no range, as every size is "
            f"a program of its own. Received: {value!r}"
        )
    return whole_number("batch_size", value, owner="space")


def _epochs(value: Any) -> BaseDistribution | int:
    """A number of epochs, or what is searched."""
    if isinstance(value, CategoricalDistribution):
        return _whole_numbers("epochs", value)
    if isinstance(value, IntDistribution):
        for each in bounds(value):
            whole_number("epochs", each, owner="space")
        return value
    if isinstance(value, BaseDistribution):
        raise TypeError(
            "space: 'epochs' takes a whole number, a (low, high) pair of them, an IntDistribution "
            f"or a CategoricalDistribution. Received: {value!r}"
        )
    if isinstance(value, tuple | list):
        pair("epochs", value)
        low, high = (whole_number("epochs", each, owner="space") for each in value)
        if low > high:
            raise ValueError(f"space: 'epochs' takes low ≤ high. Received: {low}, {high}")
        return IntDistribution(low, high, log=True)
    return whole_number("epochs", value, owner="space")


def _whole_numbers(key: str, value: Any) -> CategoricalDistribution:
    numbers = _choices(key, value, "a whole number, or a list of them")
    return _once_each(key, [whole_number(key, each, owner="space") for each in numbers])


def _choices(key: str, value: Any, takes: str) -> Sequence[Any]:
    choices = value.choices if isinstance(value, CategoricalDistribution) else value
    if not isinstance(choices, list | tuple) or not choices:
        raise TypeError(f"space: {key!r} takes {takes}. Received: {value!r}")
    return choices


def _once_each(key: str, choices: Sequence[Any]) -> CategoricalDistribution:
    if len(set(choices)) < len(choices):
        raise ValueError(f"space: {key!r} names one twice. Received: {list(choices)!r}")
    return CategoricalDistribution(choices)


def checked_recipe(argument: str, key: str, value: Any) -> Any:
    """One value of a name of the recipe, as a trial has it.

    Raises:
        TypeError, ValueError: it cannot be one; `argument` says what it was given as.
    """
    match key:
        case "schedule":
            return check_decay(argument, key, value)
        case "warmup":
            return check_warmup(argument, value)
    return whole_number(key, value, owner=argument)


def check_owner(argument: str, label: str) -> None:
    """Raises a ValueError where a label gives a name of the recipe to an optimizer."""
    _, dot, name = label.rpartition(".")
    if dot and name in USUAL:
        raise ValueError(
            f"{argument}: {label!r}: {name!r} belongs to the study, not to an optimizer. "
            f"Write {name!r}."
        )


def described(recipe: Recipe, stated: Sequence[str]) -> Mapping[str, Any]:
    """Its values that are not as usual, and those that are spoken of."""
    return {n: v for n, v in asdict(recipe).items() if n in stated or v != USUAL[n]}
