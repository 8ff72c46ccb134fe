"""Routes, schemas, errors and middleware of the OpenAI images API."""
