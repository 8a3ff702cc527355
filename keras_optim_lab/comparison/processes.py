"""A process for each backend, since Keras takes one backend for the life of a process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TITLES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
_LINES = 8  # of a failed process's error that are worth showing


def run_on(
    backend: str, module: str, folder: Path, output: Path, on_line: Callable[[str], None]
) -> None:
    """Runs a module of this package with Keras on `backend`, until it ends.

    Whatever ends the wait, Ctrl-C too, ends the process.

    Args:
        on_line: called with every line that the process prints.

    Raises:
        RuntimeError: the process failed; the message holds the last lines of its error.
    """
    error = output / "error.txt"
    command = [sys.executable, "-m", f"{__package__}.{module}", str(folder), str(output)]
    with error.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, env=_environment(backend), stdout=subprocess.PIPE, stderr=stream, text=True
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line.rstrip("\n"))
            code = process.wait()
        finally:
            process.kill()
            process.wait()
    if code != 0:
        said = error.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LINES:]
        raise RuntimeError(
            f"The process of {TITLES[backend]} failed with exit code {code}:\n" + "\n".join(said)
        )


def _environment(backend: str) -> dict[str, str]:
    # What this process can import, the other one must find too: a task's module, for one.
    paths = [path or os.getcwd() for path in sys.path]
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(paths),
    }
