"""The version, alone: asking for it imports nothing."""

__version__ = "0.1.0"
