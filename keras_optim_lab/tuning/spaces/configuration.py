"""What one trial has chosen."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from keras_optim_lab.optimizers import Optimizer
from keras_optim_lab.optimizers.shell.field_kinds import Constant, KerasNumber, Static
from keras_optim_lab.optimizers.shell.numeric import Numeric, Rate
from keras_optim_lab.schedules import WarmupDecay
from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.spaces.recipe import AS_USUAL, Recipe, described
from keras_optim_lab.tuning.spaces.template import Template


@dataclass(frozen=True)
class Configuration:
    """An optimizer, its arguments, and how a model is trained with it.

    Attributes:
        name: the optimizer's name in the catalogue, or what the study calls one that was given.
        hyperparameters: its arguments, with a learning rate's peak where it is scheduled.
        recipe: schedule, batch size and epochs.
        stated: which names of the recipe the search space speaks of; `settings` holds these even
            where they are as usual.
        given: what the name stands for; None for an optimizer of the catalogue.
    """

    name: str
    hyperparameters: dict[str, Any]
    recipe: Recipe = AS_USUAL
    stated: tuple[str, ...] = ()
    given: Template | None = field(default=None, compare=False, repr=False)

    @cached_property
    def template(self) -> Template:
        """The optimizer that the hyperparameters are of."""
        return self.given or Template.of(self.name)

    @property
    def default(self) -> "Configuration":
        """The same optimizer with its default settings, or as it was given."""
        return Configuration(self.name, {}, given=self.given)

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate changes during training."""
        return self.recipe.scheduled

    def on(self, task: Task) -> Task:
        """The task with the batch size and the epochs that were chosen."""
        batch_size = self.recipe.batch_size or task.batch_size
        epochs = self.recipe.epochs or task.epochs
        if (batch_size, epochs) == (task.batch_size, task.epochs):
            return task
        return replace(task, batch_size=batch_size, epochs=epochs)

    @property
    def structure(self) -> Hashable:
        """What a compiled program is made for; all else are numbers that come into it.

        The batch size, the optimizer, its switches, and of every number whether it is None and
        whether it is 0: without momentum there is no slot for it.
        """
        fields = self.template.fields
        values = {**self.template.defaults, **self.hyperparameters}
        switches = tuple(
            (name, values[name])
            for name, field in fields.items()
            if isinstance(field, Static) and not isinstance(field, Constant)
        )
        numbers = tuple(
            (name, values[name] is None, values[name] == 0)
            for name, field in fields.items()
            if isinstance(field, Numeric | KerasNumber)
        )
        # One that was given may have choices that are no fields, such as what it does not decay.
        given = None if self.given is None else self.given.given
        return self.name, given, switches, numbers, self.recipe.batch_size

    @property
    def settings(self) -> dict[str, Any]:
        """All that was chosen or fixed by name: hyperparameters, then the recipe."""
        return {**self.hyperparameters, **described(self.recipe, self.stated)}

    @property
    def peaks(self) -> dict[str, float]:
        """The optimizer's learning rates by name, all of which a schedule scales.

        There is one but in AdaBound, whose second one holds the first up if it does not fall too.
        """
        return {
            name: self.hyperparameters.get(name, self.template.defaults[name])
            for name, field in self.template.numeric.items()
            if isinstance(field, Rate)
        }

    def optimizer(self, steps: int | None) -> Optimizer:
        """A new optimizer of this configuration.

        Args:
            steps: optimizer steps of the whole training; only a schedule needs them.

        Raises:
            ValueError: a schedule was chosen and `steps` is None.
        """
        if not self.scheduled:
            return self.template.make(self.hyperparameters)
        if steps is None:
            recipe = self.recipe
            raise ValueError(
                f"schedule={recipe.schedule!r} with warmup={recipe.warmup!r} needs to know how "
                "many steps the training has: pass steps=batches per epoch × epochs. "
                "Received: steps=None"
            )
        schedules = {
            name: WarmupDecay(peak, steps, self.recipe.warmup, self.recipe.schedule)
            for name, peak in self.peaks.items()
        }
        return self.template.make({**self.hyperparameters, **schedules})
