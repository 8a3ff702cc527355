"""Ctrl-C while a study trains: it ends at the end of an epoch, and a second one ends it at once.

Python raises KeyboardInterrupt wherever it is. Inside a weak reference's callback, or one of JAX's
for the garbage collector, the error is printed and forgotten, and training goes on.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = b"\nStopping at the end of this epoch. Ctrl-C again ends it at once.\n"

_active = False
_received = False


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it, Ctrl-C is kept until `raise_if_interrupted`, and the second one is not.

    Nothing changes outside of the main thread, inside of another, or where Ctrl-C does not raise
    KeyboardInterrupt already.
    """
    global _active, _received
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if _active or not main or before is not signal.default_int_handler:
        yield
        return

    def receive(number: int, frame: FrameType | None) -> None:
        global _received
        _received = True
        # In a session the second one raises KeyboardInterrupt, whose variables would be lost else.
        signal.signal(signal.SIGINT, before if _in_a_session() else signal.SIG_DFL)
        os.write(2, _STOPPING)  # `print` may be what was interrupted

    signal.signal(signal.SIGINT, receive)
    _active, _received = True, False
    try:
        yield
        raise_if_interrupted()
    finally:
        _active = _received = False
        signal.signal(signal.SIGINT, before)


def raise_if_interrupted() -> None:
    """Raises KeyboardInterrupt if there was a Ctrl-C, where nothing is left half done."""
    if _received and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


@contextmanager
def ended_by(line: Callable[[], str]) -> Iterator[None]:
    """Lets a script that is interrupted within it end with one line in place of a traceback."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        if interruption.args:
            raise  # it has its own line
        error = KeyboardInterrupt(line())
        shown = sys.excepthook

        def show(kind, value, traceback):
            if value is error:
                print(f"\n{error}", file=sys.stderr)
            else:
                shown(kind, value, traceback)

        sys.excepthook = show
        raise error from None


def _in_a_session() -> bool:
    return hasattr(sys, "ps1") or bool(sys.flags.interactive) or "ipykernel" in sys.modules
