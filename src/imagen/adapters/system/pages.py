"""The pages of the documentation, which messages name."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def find_page(name: str) -> str:
    """Return the path of a page of docs/, such as `supabase.md`, on this machine.

    The package has the pages if it was built; in a clone they are beside the sources.
    """
    shipped = _PACKAGE / "docs" / name
    return str(shipped if shipped.exists() else _PACKAGE.parents[1] / "docs" / name)
