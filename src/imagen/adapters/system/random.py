"""Random numbers of the operating system."""

import os


def random_int(bound: int) -> int:
    """Return a random integer from 0 to `bound - 1`."""
    # Not `secrets`, whose import takes 11 ms of the start-up. 16 spare bytes
    # make the bias of the remainder negligible.
    return int.from_bytes(os.urandom(16 + bound.bit_length() // 8)) % bound
