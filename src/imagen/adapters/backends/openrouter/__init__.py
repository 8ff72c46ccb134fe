"""The OpenRouter backend: image models of many providers, by name, with one key."""
