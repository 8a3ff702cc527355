"""What only JAX can do."""

import atexit
import tempfile

from jax.experimental.compilation_cache import compilation_cache

import jax


def reuse_compiled_programs() -> None:
    """Lets a program that this process has compiled once serve again, however it is traced.

    A fresh model of the same shape is traced to the same program, so a trial need not wait for
    the compiler. A cache that the user has set up is left as it is.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    folder = tempfile.TemporaryDirectory(prefix="keras-optim-lab-")
    atexit.register(folder.cleanup)
    jax.config.update("jax_compilation_cache_dir", folder.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()  # JAX looks for a cache once, at its first compilation
