"""The composition root: the only package that knows use cases and adapters alike.

Each function builds what one command or request needs. It imports the use case and
the adapters itself, so that a command loads no module that it does not use.
"""
