"""The file of API keys: hashes, each with a role and optionally a budget."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from imagen.adapters.system.pages import find_page
from imagen.domain.errors import Misconfigured
from imagen.domain.money.budget import Budget
from imagen.server.keys import ApiKeys, Caller, Role
from imagen.settings.document import parse
from imagen.settings.money import BudgetBlock, key
from imagen.settings.reading import Reader
from imagen.settings.validate import InvalidConfig


class KeyBlock(BudgetBlock, frozen=True, kw_only=True):
    """A key of the file, under the name of its caller."""

    sha256: Annotated[
        str,
        Meta(
            pattern="^[0-9a-f]{64}$",
            extra={"shape": "the SHA-256 of a key, in quotes: 64 hexadecimal digits"},
        ),
        key("The SHA-256 of the key."),
    ]
    role: Annotated[Role, key("What the key may do.", "make")] = "make"


class LoadedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a file, and the budgets of their callers."""

    keys: ApiKeys
    budgets: tuple[Budget, ...] = ()


def read_keys(path: Path) -> LoadedKeys:
    """Read the file of keys.

    Raises:
        Misconfigured: the file cannot be read, has an error, or has no key.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise Misconfigured(
            f"The file of `serve.keys_file` {path} cannot be read: {reason}.",
            hint=f"{find_page('serve.md')} shows its form.",
        ) from error
    reader = Reader(document := parse(content, source=str(path)), expand=Path)
    callers: dict[bytes, Caller] = {}
    budgets: list[Budget] = []
    for name, node in reader.read_entries(document.root).items():
        entries = reader.read_entries(node)
        reader.check_keys(entries, KeyBlock)
        block = reader.read_fields(node, entries, KeyBlock)
        if block is None:
            continue
        digest = bytes.fromhex(block.sha256)
        if digest in callers:
            reader.add_problem(node, "another caller has the same key")
        callers[digest] = Caller(name=name, role=block.role)
        if block.is_set:
            budgets.append(block.to_budget(caller=name))
    if problems := reader.problems():
        raise InvalidConfig(problems)
    if not callers:
        # Without keys the server would accept every request.
        raise Misconfigured(
            f"The file of `serve.keys_file` {path} has no key.",
            hint=f"{find_page('serve.md')} shows its form.",
        )
    return LoadedKeys(keys=ApiKeys(callers), budgets=tuple(budgets))
