"""The HTTP server of `imagen serve`: the OpenAI images API and the gallery."""
