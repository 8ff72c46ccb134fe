"""The backend that needs nothing: offline, free, the same every time."""
