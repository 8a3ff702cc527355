"""KerasTuner's hyperparameters as Optuna's parameters.

| KerasTuner                                 | Optuna                                       |
|--------------------------------------------|----------------------------------------------|
| `Float`, `Int`: linear, linear step, log   | the same range under the same name           |
| `Float`, `Int`: reverse_log                | `{low + high}-name`, log-uniform             |
| `Float`, `Int`: log or reverse_log, step   | `name.index`, a place among the few values   |
| `Choice`                                   | categorical                                  |
| `Boolean`                                  | categorical, False or True                   |
| `Fixed`                                    | none                                         |

A reverse_log range [low, high] is one whose mirror image low + high − x is log-uniform in it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from keras_tuner.engine import hyperparameters as kt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter as Optuna knows it.

    Attributes:
        name: in the Optuna study.
        distribution: that its values there are taken from.
        mirrored: (low, high), if the value there is low + high minus the hyperparameter's.
        steps: the hyperparameter's values, if the one there is an index into them.
    """

    name: str
    distribution: BaseDistribution
    mirrored: tuple[float, float] | None = None
    steps: tuple[Any, ...] = ()

    def decode(self, value: Any) -> Any:
        """The hyperparameter's value for one of Optuna's."""
        if self.steps:
            return self.steps[value]
        return self._reflected(value)

    def encode(self, value: Any) -> Any:
        """The inverse of `decode`.

        Raises:
            ValueError: the value lies outside of what is searched, as a default may.
        """
        if self.steps:
            return self.steps.index(value)
        encoded = self._reflected(value)
        create_trial(  # refuses it
            value=0.0, params={self.name: encoded}, distributions={self.name: self.distribution}
        )
        return encoded

    def _reflected(self, value: Any) -> Any:
        if self.mirrored is None:
            return value
        low, high = self.mirrored
        return min(max(low + high - value, low), high)  # rounding keeps a bound in its range


def named(space: Iterable[kt.HyperParameter]) -> list[tuple[kt.HyperParameter, str]]:
    """Hyperparameters with a name of its own for each.

    KerasTuner tells two of the same name apart by the conditions under which they are active; to
    Optuna these are two parameters. The first keeps the plain name, since a study goes on when
    the second one is discovered.
    """
    seen: set[str] = set()
    pairs = []
    for hp in space:
        name = hp.name
        if name in seen:
            conditions = (f"{c.name}={','.join(map(str, c.values))}" for c in hp.conditions)
            name = f"{name} [{'; '.join(conditions)}]"
        seen.add(name)
        pairs.append((hp, name))
    return pairs


def suggested(
    hyperparameters: kt.HyperParameters, suggest: Callable[[str, BaseDistribution], Any]
) -> dict[str, Any]:
    """Values of all hyperparameters that are active with these values."""
    chosen = hyperparameters.copy()
    chosen.values = {}
    waiting = named(chosen.space)
    # Not in one pass: in a space that a worker sent, parents may stand behind their children.
    while pair := next((pair for pair in waiting if chosen.is_active(pair[0])), None):
        waiting.remove(pair)
        hp, name = pair
        asked = parameter(hp, name)
        if asked is None:
            chosen.values[hp.name] = hp.value
        else:
            chosen.values[hp.name] = asked.decode(suggest(asked.name, asked.distribution))
    return chosen.values


def parameter(hp: kt.HyperParameter, name: str) -> Parameter | None:
    """The parameter of a hyperparameter, or None if it is fixed.

    Raises:
        TypeError: it is of a kind that KerasTuner does not have.
    """
    if isinstance(hp, kt.Fixed):
        return None
    if isinstance(hp, kt.Boolean):
        return Parameter(name, CategoricalDistribution([False, True]))
    if isinstance(hp, kt.Choice):
        return Parameter(name, CategoricalDistribution(hp.values))
    if not isinstance(hp, kt.Float | kt.Int):
        raise TypeError(
            f"Hyperparameter {name!r} must be a Float, Int, Choice, Boolean or Fixed of "
            f"KerasTuner's. Received: {hp!r}"
        )
    if hp.sampling == "linear":
        return Parameter(name, _linear(hp))
    if hp.step is not None:
        kind = int if isinstance(hp, kt.Int) else float
        steps = tuple(map(kind, hp.values))
        return Parameter(f"{name}.index", IntDistribution(0, len(steps) - 1), steps=steps)
    uniform = IntDistribution if isinstance(hp, kt.Int) else FloatDistribution
    distribution = uniform(hp.min_value, hp.max_value, log=True)
    if hp.sampling == "log":
        return Parameter(name, distribution)
    low, high = hp.min_value, hp.max_value
    return Parameter(f"{low + high:g}-{name}", distribution, mirrored=(low, high))


def _linear(hp: kt.Float | kt.Int) -> BaseDistribution:
    low, high, step = hp.min_value, hp.max_value, hp.step
    if isinstance(hp, kt.Int):
        return IntDistribution(low, high - (high - low) % step, step=step)
    if step is None:
        return FloatDistribution(low, high)
    # In decimals 0, 0.2, … reaches 1; in binary fractions it would end at 0.8.
    first, last, length = (Decimal(str(number)) for number in (low, high, float(step)))
    return FloatDistribution(low, float(last - (last - first) % length), step=float(step))
