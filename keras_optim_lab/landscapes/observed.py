"""What a rule names while it computes a step, heard from the rule itself."""

import copy
from typing import Any

from keras_optim_lab.optimizers import Optimizer, Record
from keras_optim_lab.optimizers.shell.numeric import Decay


class Observed:
    """An optimizer like the given one whose rule is listened to.

    Training runs other code than this: nothing of it is in a program that is not observed.

    Attributes:
        optimizer: takes the same steps as the given one; only its hooks are its own.
        prepared: what `prepare` and `survey` have added to the hyperparameters in the last step.
        corrected: by slot, its average in the last step after `Decay.debias`.
        noted: what the rule has noted in the last step, by name.
    """

    def __init__(self, optimizer: Optimizer):
        self.optimizer = copy.copy(optimizer)
        self.optimizer.__dict__.update(rule=self._rule, prepare=self._prepare, look=self._look)
        self._given = optimizer
        self.prepared: dict[str, Any] = {}
        self.corrected: dict[str, Any] = {}
        self.noted: dict[str, Any] = {}

    def _prepare(self, shared: Record, h: Record) -> tuple[Record, Record]:
        shared, prepared = self._given.prepare(shared, h)
        self.prepared = _added(h, prepared)
        return shared, prepared

    def _look(self, shared: Record, h: Record, *weights: Any) -> tuple[Record, Record]:
        shared, surveyed = self._given.look(shared, h, *weights)
        self.prepared.update(_added(h, surveyed))
        return shared, surveyed

    def _rule(self, g: Any, w: Any, slot: Record, h: Record) -> tuple[Any, Record]:
        debiased: list[tuple[Any, Any]] = []
        self.noted = {}
        step, new = self._given.rule(g, w, slot, _Heard(h, debiased, self.noted))
        self.corrected = {
            next((name for name, value in new.items() if value is average), f"average {i}"): value_
            for i, (average, value_) in enumerate(debiased, 1)
        }
        return step, new


def _added(h: Record, more: Record) -> dict[str, Any]:
    """What `more` has beyond `h`; a decay rate as the number β."""
    return {
        name: 1.0 - value.complement if isinstance(value, Decay) else value
        for name, value in more.items()
        if name not in h
    }


class _Heard(Record):
    """Hyperparameters that keep what the rule notes."""

    def __init__(self, h: Record, debiased: list[tuple[Any, Any]], noted: dict[str, Any]):
        super().__init__(
            {
                name: _HeardDecay.of(value, debiased) if isinstance(value, Decay) else value
                for name, value in h.items()
            }
        )
        self.__dict__["_noted"] = noted

    def note(self, **values: Any) -> None:
        self.__dict__["_noted"].update(values)


class _HeardDecay(Decay):
    """A decay rate that keeps which averages it has corrected."""

    debiased: list[tuple[Any, Any]]

    @classmethod
    def of(cls, decay: Decay, debiased: list[tuple[Any, Any]]) -> "_HeardDecay":
        heard = cls(*decay)
        heard.debiased = debiased
        return heard

    def debias(self, average: Any) -> Any:
        corrected = super().debias(average)
        self.debiased.append((average, corrected))
        return corrected
