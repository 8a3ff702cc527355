"""Measures what importing the optimizers costs beyond `import keras`.

    .venv/bin/python scripts/bench_import.py

Each import runs in fresh processes, the two alternating; the medians are printed in milliseconds.
"""

import argparse
import os
import statistics
import subprocess
import sys

IMPORTS = {"keras": "import keras", "optimizers": "import keras_optim_lab.optimizers"}


def milliseconds(statement: str) -> float:
    """The time that `statement` takes in a new interpreter, without the interpreter's start."""
    timed = (
        "import time; start = time.perf_counter()\n"
        f"{statement}\n"
        "print((time.perf_counter() - start) * 1000)"
    )
    run = subprocess.run(
        [sys.executable, "-c", timed], check=True, capture_output=True, text=True, env=os.environ
    )
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    for statement in IMPORTS.values():
        milliseconds(statement)  # fills the disk cache and writes the byte code
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(repeats):
        for name, statement in IMPORTS.items():
            times[name].append(milliseconds(statement))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{IMPORTS[name]:<36}{median:8.0f} ms")
    print(f"{'difference':<36}{medians['optimizers'] - medians['keras']:8.0f} ms")


if __name__ == "__main__":
    main()
