"""Display images: tmux window, terminal graphics, notebook."""
