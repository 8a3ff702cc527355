"""Keras's global state between one model and the next."""

import keras

from keras_optim_lab import backend


def fresh_session() -> None:
    """Forgets former models, whose graphs Keras would keep, but no program and no setting."""
    backend.reuse_compiled_programs()
    policy = keras.config.dtype_policy()
    distribution = keras.distribution.distribution()
    flash_attention = keras.config.is_flash_attention_enabled()
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy(policy)
    if distribution is not None:
        keras.distribution.set_distribution(distribution)
    if flash_attention is False:
        keras.config.disable_flash_attention()
