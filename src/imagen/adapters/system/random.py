"""The real dice."""

import os


def random_int(bound: int) -> int:
    """Give a whole number from 0 up to, and without, the bound, by the system."""
    # 16 spare bytes make the bias of the remainder too small to ever be seen.
    return int.from_bytes(os.urandom(16 + bound.bit_length() // 8)) % bound
