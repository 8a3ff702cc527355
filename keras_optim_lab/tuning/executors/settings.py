"""What of Keras's global settings changes a training."""

from typing import Any, NamedTuple, Self

import keras


class Settings(NamedTuple):
    """Those of one process, for another one."""

    floatx: str
    epsilon: float
    image_data_format: str
    dtype_policy: Any

    @classmethod
    def current(cls) -> Self:
        config = keras.config
        return cls(
            config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy()
        )

    def apply(self) -> None:
        keras.config.set_floatx(self.floatx)
        keras.config.set_epsilon(self.epsilon)
        keras.config.set_image_data_format(self.image_data_format)
        keras.config.set_dtype_policy(self.dtype_policy)
