"""HTTP for every backend that is a server: client, errors, background calls."""
