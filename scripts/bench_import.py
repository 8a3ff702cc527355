"""Measures what importing the optimizers costs beyond `import keras`.

    .venv/bin/python scripts/bench_import.py

Both are timed one after the other in the same fresh process, since the seconds that `import keras`
takes vary by more than what is measured; the medians are printed in milliseconds.
"""

import argparse
import statistics
import subprocess
import sys

TIMED = """
import time
start = time.perf_counter()
import keras
between = time.perf_counter()
import keras_optim_lab.optimizers
end = time.perf_counter()
print((between - start) * 1000, (end - between) * 1000)
"""


def milliseconds() -> tuple[float, ...]:
    """The times of `import keras` and of the optimizers after it, in a new interpreter."""
    run = subprocess.run([sys.executable, "-c", TIMED], check=True, capture_output=True, text=True)
    return tuple(map(float, run.stdout.split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    milliseconds()  # fills the disk cache and writes the byte code
    keras, optimizers = map(
        statistics.median, zip(*(milliseconds() for _ in range(repeats)), strict=True)
    )
    print(f"import keras                      {keras:7.0f} ms")
    print(f"import keras_optim_lab.optimizers {optimizers:+7.0f} ms more")


if __name__ == "__main__":
    main()
