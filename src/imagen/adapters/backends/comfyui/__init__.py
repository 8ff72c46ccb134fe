"""Draws on a ComfyUI server, one's own or a rented one."""
