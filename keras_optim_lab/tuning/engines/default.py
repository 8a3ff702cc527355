"""What trains where no engine is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from keras_optim_lab.tuning.engines.engine import Engine
from keras_optim_lab.tuning.engines.population_engine import PopulationEngine

_chosen: ContextVar[Engine | None] = ContextVar("engine", default=None)


def default_engine() -> Engine:
    """That of `trained_by`, or a population in this process."""
    return _chosen.get() or PopulationEngine()


@contextmanager
def trained_by(engine: Engine) -> Iterator[None]:
    """Within it, all that is given no engine is trained by this one."""
    before = _chosen.set(engine)
    try:
        yield
    finally:
        _chosen.reset(before)
