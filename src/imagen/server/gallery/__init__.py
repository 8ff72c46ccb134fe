"""The gallery: a single-page web application, and the routes that it uses."""
