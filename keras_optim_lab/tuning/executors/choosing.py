"""Which engine trains: one in this process, or one that lets others train."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from keras_optim_lab.tasks import Task
from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine
from keras_optim_lab.tuning.executors.executor import Executor
from keras_optim_lab.tuning.executors.processes import Processes


def engine_of(
    population: int | Literal["auto"] = "auto",
    workers: int | Literal["auto"] | None = None,
    executor: Executor | None = None,
    task: Task | None = None,
) -> AbstractContextManager[Engine]:
    """The engine as a context, at whose end its processes end; an executor that is given stays.

    Args:
        population: rows that train side by side, in each worker.
        workers: processes; None for this one alone.
        executor: in place of these.
        task: that it will train first, if that is known.

    Raises:
        TypeError, ValueError: an argument is wrong, both ways are asked for, or the task cannot be
            sent to other processes. None has been started.
    """
    if executor is None and workers is None:
        return nullcontext(PopulationEngine(population))
    if executor is None and workers is not None:
        processes = Processes(workers, population)
        processes.hold(task)
        return processes
    if not isinstance(executor, Executor):
        raise TypeError(
            "executor must be one of keras_optim_lab.executors, such as executors.Processes(2). "
            f"Received: {executor!r}"
        )
    if workers is not None:
        raise ValueError(
            f"workers={workers!r} and executor={executor!r}: an executor has its own workers; "
            "give one of the two."
        )
    if population != "auto":
        raise ValueError(
            f"population={population!r} with executor=: give it to the executor, as each of its "
            "workers has so many rows."
        )
    executor.hold(task)
    return nullcontext(executor)
