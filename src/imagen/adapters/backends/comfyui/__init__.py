"""Image backend for a ComfyUI server, local or rented."""
