"""Detection of secrets, so that none is in the config file or in a message."""

import re
from collections.abc import Iterator, Mapping

from imagen.settings.tree import ConfigProblem, Document, KeyPath, Node

HIDDEN = "(hidden)"
LONGEST_SHOWN = 60
"""Characters of a value or key in a message."""

# Splits `APIKey`, `apiKey` and `api-key` alike, so that `monkey` is one word.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", re.ASCII)
_SECRET_WORDS = {
    *("token", "key", "secret", "password", "passwd", "passphrase", "authorization"),
    *("credential", "bearer", "secrets", "passwords", "credentials", "apikey"),
    *("apikeys", "apitoken", "accesstoken"),
}

# The prefixes that vendors give their tokens.
_PREFIXES = (
    r"r8_|sk[-_]|hf_|sb_secret_|sbp_|gsk_|xai-|gh[opsur]_|github_pat_|glpat-|whsec_"
    r"|rk_live_|rpa_|tgp_|nvapi-|pplx-|xox[abprs]-|fw_|AIza|AKIA|eyJ|ya29\."
)
# Within a sentence a prefix needs a longer rest, since `sk-` and `key-` occur in words,
# and the word after `bearer` needs a digit, since "Bearer of gold" is a prompt.
_SECRET_TEXT = re.compile(
    rf"""
      ^\s*(?:{_PREFIXES})[\w.~+/=-]{{3,}}               # the whole text is a token
    | (?<![\w-])(?:{_PREFIXES})[\w.~+/=-]{{12,}}        # or it is in the middle
    | (?<![\w-])(?:key|comfyui)-(?=[\w-]*\d)\w{{16,}}   # but not `key-light`
    | ^\s*(?i:bearer|basic|token|key)\s+(?=\S*\d)\S{{6,}}\s*$
    | (?<!\w)(?i:bearer)\s+(?=\S*\d)[\w.~+/=-]{{16,}}
    | [0-9a-f]{{8}}-(?:[0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}:[0-9a-f]{{16,}}  # fal
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY
    | ://[^\s/?\#@]*:[^\s/?\#@]*@                       # https://user:password@host
    | [?&][\w-]*(?i:token|key|secret|password|signature)=[^&\s]
    """,
    re.VERBOSE | re.ASCII,
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_KEYRING = re.compile(r"keyring:[^\s/:]+/[^\s/:]+")
_SHORTEST_TOKEN = 20


def find_secrets(document: Document) -> dict[KeyPath, ConfigProblem]:
    """Return an error for every place that holds a secret, by its key path."""
    return {
        node.path: build_problem(document.source, node, message, suggestion)
        for node, message, suggestion in _find_in_node(document.root, env=False)
    }


def build_problem(
    source: str, node: Node, message: str, suggestion: str = ""
) -> ConfigProblem:
    """Return an error about a value, with secret keys hidden."""
    key, line = format_key_path(node.path), node.line
    return ConfigProblem(
        file=source, line=line, key=key, message=message, suggestion=suggestion
    )


def is_secret(text: str) -> bool:
    """Return whether the text looks like a token, or contains a password."""
    return _SECRET_TEXT.search(text) is not None


def is_named_like_secret(key: str) -> bool:
    """Return whether a key is named as a secret, which `api_key_env` is not."""
    words = _split_words(key)
    return not is_named_like_variable(key) and not _SECRET_WORDS.isdisjoint(words)


def is_named_like_variable(key: str) -> bool:
    """Return whether a key is named as the name of an environment variable."""
    return len(words := _split_words(key)) > 1 and words[-1] == "env"


def is_variable(text: str) -> bool:
    """Return whether the text can be the name of a variable, rather than a secret."""
    if not _VARIABLE.fullmatch(text) or is_secret(text):
        return False
    if len(text) < _SHORTEST_TOKEN:
        return True
    # Long names have only one case, or underscores between words; tokens mix all.
    digits = any(letter.isdigit() for letter in text)
    mixed = text not in {text.lower(), text.upper()}
    return not (digits and (mixed or "_" not in text))


def is_keyring(text: str) -> bool:
    """Return whether the text names a secret in the keyring: `keyring:SERVICE/NAME`."""
    return _KEYRING.fullmatch(text) is not None and not is_secret(text)


def format_key_path(path: KeyPath) -> str:
    """Return a key path such as `backends.mock.delay`, with secret keys hidden."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + display_key(step)
    return text


def display_key(key: str) -> str:
    """Return a key or name for a message: printable, short, never a secret."""
    if is_secret(key):
        return HIDDEN
    return _truncate(key if key.isprintable() else ascii(key)[1:-1]) or "''"


def display_value(value: object) -> str:
    """Return a value for a message: quoted, short, never a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return HIDDEN if is_secret(value) else repr(_truncate(value))
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else str(value)


def _find_in_node(node: Node, *, env: bool) -> Iterator[tuple[Node, str, str]]:
    if isinstance(node.value, tuple):
        for item in node.value:
            yield from _find_in_node(item, env=env)
    elif isinstance(node.value, Mapping):
        named = node.path in _NAMED_BLOCKS
        for key, entry in node.value.items():
            is_name = named and isinstance(entry.value, Mapping)
            if is_secret(key):
                yield entry, "the key is a secret", _MOVE
            elif not (env or is_name) and is_named_like_secret(key):
                what = "the config must not contain secrets"
                yield entry, what, _suggest_variable(key)
            else:
                yield from _find_in_node(entry, env=env or is_named_like_variable(key))
    elif env and node.value is not None:
        name = node.value
        if not (isinstance(name, str) and (is_variable(name) or is_keyring(name))):
            yield (
                node,
                "expected the name of an environment variable, or keyring:SERVICE/NAME",
                "write the name alone, without its value and without $",
            )
    elif isinstance(node.value, str) and is_secret(node.value):
        yield node, "the value looks like a secret", _MOVE


_MOVE = (
    "put it in an environment variable, and the name of the variable in the config:"
    " `NAME_env: VARIABLE`"
)


def _suggest_variable(key: str) -> str:
    if key.lower() in {"authorization", "bearer"}:
        return (
            "put it in an environment variable, and write"
            " `headers_env: {Authorization: VARIABLE}`"
        )
    name = "_".join(_split_words(key))
    return f"put it in an environment variable, and write `{name}_env: VARIABLE`"


# Keys in these are names of backends and styles, such as `key-visual`.
_NAMED_BLOCKS: set[KeyPath] = {("backends",), ("styles",), ("budget", "backends")}


def _split_words(key: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(key)]


def _truncate(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
