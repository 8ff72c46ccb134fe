"""Access to the operating system: clock, random numbers, files, trash, tmux, log."""
