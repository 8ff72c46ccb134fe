"""Showing images: tmux window, terminal graphics, notebook."""
