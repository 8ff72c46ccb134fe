"""Add the pages of docs/ to the wheel, and not to an editable installation."""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DocsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, dict[str, str]]) -> None:
        """Ship the pages: messages name them."""
        # An editable installation reads those of the clone.
        if version != "editable":
            build_data["force_include"]["docs"] = "imagen/docs"
