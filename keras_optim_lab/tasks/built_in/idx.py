"""IDX files, in which MNIST and its kin are published: a short header, and bytes."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

BYTES = 8  # the type of numbers that a header names for bytes without sign


def read(path: Path) -> np.ndarray:
    """Reads bytes from an IDX file that gzip has packed.

    Returns:
        An array of uint8 in the shape that the header tells.

    Raises:
        ValueError: the file is damaged or cut short, or no IDX file of bytes.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}): replace it.") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, BYTES]):
        raise ValueError(
            f"{path} is no IDX file of bytes: it begins with {content[:4].hex(' ') or 'nothing'} "
            f"instead of 00 00 08 and the number of its axes. Replace it."
        )
    header = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:header], ">u4", len(content[4:header]) // 4).tolist())
    told, there = prod(shape), max(len(content) - header, 0)
    if len(shape) < content[3] or told != there:
        raise ValueError(
            f"{path} is damaged or cut short: its header tells of {told} bytes in the shape "
            f"{shape}, and there are {there}. Replace it."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
