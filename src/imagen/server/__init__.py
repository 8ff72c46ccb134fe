"""imagen as an HTTP server: the OpenAI images API, and whatever else has routes."""
