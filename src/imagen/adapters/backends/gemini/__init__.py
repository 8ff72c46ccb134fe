"""The Gemini backend: Google's image models, through the Gemini API."""
