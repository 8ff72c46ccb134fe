"""The environment variables; the only reader of `os.environ`."""

import os
import re
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

import msgspec

from imagen.adapters.system.data_folder import can_hold_data, find_temporary_folder
from imagen.domain.errors import Misconfigured

if TYPE_CHECKING:
    from imagen.ports.adapter import Secrets

Mode: TypeAlias = Literal["auto", "on", "off"]
"""The modes of the preview and of the cloud sync."""

KEYRING = "keyring:"
"""The prefix of names of secrets in the keyring."""

_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


class Environment:
    """The environment variables that imagen reads; "" for those that are not set.

    Attributes:
        supabase_url: The URL of the Supabase project, `$SUPABASE_URL`.
        supabase_key: The key: `$SUPABASE_SERVICE_KEY`, else `$MAI_SUPABASE_KEY`.
        caller: The name of the caller, `$MAI_FROM_ID`.
        serve_keys: The API keys of the server, `$IMAGEN_SERVE_KEYS`.
        tmux: The address of the tmux server, `$TMUX`; "" outside of tmux.
        tmux_pane: The pane of this process, `$TMUX_PANE`; "" outside of tmux.
        terminal: The variables by which terminals identify themselves.
        allow_unrecorded: Whether calls that may cost money are sent without a record,
            `$IMAGEN_ALLOW_UNRECORDED`.
        log: The log format of `$IMAGEN_LOG`.
        desktop: Whether programs can open windows, `$DISPLAY` or `$WAYLAND_DISPLAY`.
        no_color: Whether `$NO_COLOR` is set and not empty.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        named = self._get("SUPABASE_SERVICE_KEY") or self._get("MAI_SUPABASE_KEY")
        self.supabase_url = self._get("SUPABASE_URL").strip()
        self.supabase_key = named.strip()
        # Variables may hold bytes that are not UTF-8, which no database column takes.
        self.caller = self._get("MAI_FROM_ID").encode(errors="replace").decode()
        self.serve_keys = self._get("IMAGEN_SERVE_KEYS")
        self.tmux = self._get("TMUX")
        self.tmux_pane = self._get("TMUX_PANE")
        names = ("TERM", "COLORTERM", "TERM_PROGRAM", "LC_TERMINAL")
        self.terminal: Mapping[str, str] = {name: self._get(name) for name in names}
        self.allow_unrecorded = self._get("IMAGEN_ALLOW_UNRECORDED") not in {"", "0"}
        self.desktop = bool(self._get("DISPLAY") or self._get("WAYLAND_DISPLAY"))
        self.log = self._get("IMAGEN_LOG")
        self.no_color = bool(self._get("NO_COLOR"))

    def __repr__(self) -> str:
        # Without values: there are secrets among them, and a repr ends in tracebacks.
        return "<environment>"

    @property
    def config_path(self) -> str | None:
        """The config file of `$IMAGEN_CONFIG`; None if it is not set."""
        return self._get("IMAGEN_CONFIG") or None

    @property
    def config_home(self) -> Path:
        """The folder for config files: `$XDG_CONFIG_HOME` or `~/.config`.

        `/.config` for a user without a home folder, as for one whose home is `/`.
        """
        folder = self._xdg_folder("XDG_CONFIG_HOME", default=".config")
        return folder or Path("/.config")

    @property
    def data_dir(self) -> Path:
        """The folder for imagen's own files: `$IMAGEN_DATA_DIR`, or the platform's.

        A temporary folder if the platform's is unknown or cannot be used.
        """
        return self._data_folder[0]

    @property
    def temporary_data(self) -> str:
        """Why `data_dir` is temporary, in a sentence; "" if it is not."""
        folder, problem = self._data_folder
        return problem and f"Records in {folder} are temporary: {problem}."

    @property
    def cache_dir(self) -> Path:
        """The folder for files that can be fetched again."""
        if self._get("IMAGEN_DATA_DIR") or self.temporary_data:
            return self.data_dir / "cache"
        if sys.platform == "darwin":
            from platformdirs import user_cache_path  # only there

            return user_cache_path("imagen")
        folder = self._xdg_folder("XDG_CACHE_HOME", default=".cache")
        return self.data_dir / "cache" if folder is None else folder / "imagen"

    @property
    def cloud_sync(self) -> Mode | None:
        """The mode of `$IMAGEN_CLOUD_SYNC`; None if it is not set."""
        return self._get_mode("IMAGEN_CLOUD_SYNC")

    @property
    def missing_for_supabase(self) -> tuple[str, ...]:
        """The variables that Supabase needs and that are not set, each with a `$`."""
        needed = {
            "SUPABASE_URL": self.supabase_url,
            "SUPABASE_SERVICE_KEY": self.supabase_key,
        }
        return tuple(f"${name}" for name, value in needed.items() if not value)

    @property
    def preview(self) -> Mode | None:
        """The mode of `$IMAGEN_PREVIEW`; None if it is not set."""
        return self._get_mode("IMAGEN_PREVIEW")

    def with_variable(self, name: str, value: str) -> "Environment":
        """Return this environment with one more variable."""
        return Environment({**self._variables, name: value})

    def has(self, name: str) -> bool:
        """Return whether a variable is set and not empty."""
        return bool(self._get(name))

    def secrets_for(self, options: msgspec.Struct) -> "Secrets":
        """Return the values of the variables that the `*_env` options name.

        Each has the name of its option; those of a mapping such as `headers_env` are
        named `headers_env.NAME`. Variables that are empty or not set are left out. An
        option may also name an entry of the keyring, `keyring:SERVICE/NAME`.

        Raises:
            Misconfigured: the keyring cannot be read.
        """
        from imagen.ports.adapter import Secrets  # noqa: PLC0415 - only for backends

        secrets: dict[str, str] = {}
        for field in msgspec.structs.fields(options):
            value: object = getattr(options, field.name)
            if not field.name.endswith("_env"):
                continue
            if isinstance(value, str):
                secrets[field.name] = self._get_secret(value)
            elif isinstance(value, Mapping):
                entries = cast("Mapping[str, str]", value)  # its types are erased
                for name, variable in entries.items():
                    secrets[f"{field.name}.{name}"] = self._get_secret(variable)
        return Secrets({key: secret for key, secret in secrets.items() if secret})

    def expand_path(self, path: str) -> Path:
        """Return a path of the config with `~`, `$VAR` and `${VAR}` expanded.

        Raises:
            Misconfigured: the path has a variable that is not set, or an unknown user.
        """

        # os.path.expandvars leaves an unset variable as it is: images would be stored
        # in a folder that is called `$PICTURES`.
        def expand_variable(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if not (value := self._get(name)):
                raise Misconfigured(
                    f"The path uses ${name}, which is not set.",
                    hint="Set it, or write the path in full.",
                )
            return value

        return self.expand_home(Path(_VARIABLE.sub(expand_variable, path)))

    def expand_home(self, path: Path) -> Path:
        """Return the path with `~` or `~user` expanded.

        Raises:
            Misconfigured: the home folder is unknown.
        """
        try:
            if path.parts[:1] == ("~",):
                return Path(self._find_home(), *path.parts[1:])
            return path.expanduser()
        except (KeyError, RuntimeError) as error:
            raise Misconfigured(
                f"The home folder of {path.parts[0]!r} is unknown.",
                hint="Write the path in full, or set $HOME.",
            ) from error

    @cached_property
    def _data_folder(self) -> tuple[Path, str]:
        """The data folder, and why it is temporary; "" if it is not."""
        if named := self._get("IMAGEN_DATA_DIR"):
            return self.expand_home(Path(named)).absolute(), ""
        folder = self._xdg_folder("XDG_DATA_HOME", default=".local/share")
        if sys.platform == "darwin" and folder is not None:
            from platformdirs import user_data_path  # only there

            folder = user_data_path()
        if folder is not None and can_hold_data(folder := folder / "imagen"):
            return folder, ""
        problem = (
            "the home folder is unknown"
            if folder is None
            else f"{folder} cannot be created or written"
        )
        temporary = find_temporary_folder(self._get("TMPDIR"))
        return temporary or folder or Path("/.local/share/imagen"), problem

    def _find_home(self) -> str:
        """Return the home folder.

        Raises:
            KeyError: `$HOME` is not set, and the user has no entry in the database of
                users, such as in a container that was started with any user id.
        """
        if home := self._get("HOME"):
            return home
        from pwd import getpwuid  # noqa: PLC0415 - rare

        return getpwuid(os.getuid()).pw_dir

    def _xdg_folder(self, variable: str, *, default: str) -> Path | None:
        """Return the folder that a variable names; None without it and a home folder.

        Args:
            default: The folder in the home folder if the variable is not set.
        """
        # As platformdirs has it, which is not used here: it imports tempfile, and so
        # random and OpenSSL, 13 of the 55 ms that `imagen usage` took to import beyond
        # what cyclopts needs (2026-11).
        named = Path(self._get(variable))
        # The XDG specification has relative paths ignored.
        if named.is_absolute():
            return named
        try:
            return Path(self._find_home(), default)
        except KeyError:
            return None

    def _get_mode(self, name: str) -> Mode | None:
        mode = self._get(name)
        if mode and mode not in get_args(Mode):
            from imagen.settings.secrets import display_value  # noqa: PLC0415 - rare

            raise Misconfigured(
                f"${name} is {display_value(mode)}.", hint="Set it to auto, on or off."
            )
        return cast("Mode", mode) if mode else None

    def _get_secret(self, name: str) -> str:
        if not name.startswith(KEYRING):
            return self._get(name)
        from imagen.adapters.system.key_store import read_secret  # noqa: PLC0415 - rare

        return read_secret(name)

    def _get(self, name: str) -> str:
        return self._variables.get(name, "")


def process_environment() -> Environment:
    """Return the environment of this process."""
    return Environment(os.environ)
