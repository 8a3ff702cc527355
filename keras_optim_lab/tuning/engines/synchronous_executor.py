"""An executor without threads."""

from concurrent.futures import Executor, Future


class AtOnce(Executor):
    """Runs what is submitted at once, in this thread: PyTorch is slower in any other one."""

    def submit(self, function, /, *arguments, **named) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future
