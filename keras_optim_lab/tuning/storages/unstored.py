"""What is new of a running trial and not stored yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import TrialState


@dataclass
class Changes:
    """What is new of one running trial.

    Attributes:
        stored: kind and key of what stands in the storage already, with another value.
    """

    trial_id: int
    params: dict[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    state: TrialState | None = None
    values: Sequence[float] | None = None
    stored: set[tuple[str, Any]] = field(default_factory=set)

    def set(self, kind: str, key: Any, value: Any, stored: bool) -> None:
        known = getattr(self, kind)
        if stored and key not in known:
            self.stored.add((kind, key))
        known[key] = value

    def write(self, storage: BaseStorage) -> None:
        """Writes them one by one, as any storage allows."""
        id = self.trial_id
        for name, (value, distribution) in self.params.items():
            storage.set_trial_param(id, name, value, distribution)
        for step, value in self.intermediate_values.items():
            storage.set_trial_intermediate_value(id, step, value)
        for key, attribute in self.user_attrs.items():
            storage.set_trial_user_attr(id, key, attribute)
        for key, attribute in self.system_attrs.items():
            storage.set_trial_system_attr(id, key, attribute)
        if self.state is not None:  # last: what is cut off before it leaves the trial running
            storage.set_trial_state_values(id, self.state, self.values)
