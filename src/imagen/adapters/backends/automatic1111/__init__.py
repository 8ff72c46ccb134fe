"""The automatic1111 backend: the WebUI of AUTOMATIC1111, and servers like it."""
