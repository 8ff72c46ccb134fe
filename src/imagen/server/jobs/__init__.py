"""Running requests: dispatcher, queue of each backend, progress, cloud sync."""
