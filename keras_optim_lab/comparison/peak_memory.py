"""The most memory that this process has held."""

import re
import sys
from contextlib import suppress
from pathlib import Path


def restart_peak() -> bool:
    """Starts the measurement anew; False where it can only run since the process began."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def peak_memory() -> int | None:
    """Peak resident memory in bytes; None where the system does not tell."""
    # Not ru_maxrss on Linux: it begins with the peak of the process that started this one.
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
        return int(found[1]) * 1024 if found else None
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
