"""Upload of an export to the hub, in one commit, by the token that huggingface_hub itself finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from thinkrec.errors import ConfigError, DataError, ThinkrecError
from thinkrec.teachers.redact import hide, one_line, shown_url

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

PREFIX = "hub:"
OURS = {"README.md", "parity.json", "scoring.json"}
"""Files that say that a repository holds an export."""
_FOLDERS = ("adapter/", "merged/")
"""Folders of an export, in which nothing of an earlier one stays."""
_NEW = {".gitattributes"}
"""What a repository may hold that is as good as empty."""
_PATIENCE = 10
"""Seconds to wait for the first answer (our choice)."""
T = TypeVar("T")


def repository(to: str) -> str | None:
    """Return OWNER/NAME of `hub:OWNER/NAME`, or None for a folder.

    Raises:
        ConfigError: the hub would not take the name.
    """
    if not to.startswith(PREFIX):
        return None
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    name = to.removeprefix(PREFIX)
    if name.count("/") != 1:  # before the client, which would speak of its own parameters
        raise ConfigError(f"--to: {to!r} is no name of a repository; write hub:OWNER/NAME")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ConfigError(f"--to: {to!r} is no name of a repository: {one_line(str(error))}") from None
    return name


def check_repository(name: str, public: bool) -> None:
    """Check that an export may go into a repository, as far as that shows before; nothing is changed.

    Args:
        name: OWNER/NAME.
        public: whether everybody is to read it.

    Raises:
        ConfigError: there is no token, the hub refuses it, or the repository holds something else or is
            open to others than asked.
        DataError: the hub can't be reached or fails.
    """
    from huggingface_hub import get_token

    try:
        token = get_token()
    except Exception as error:
        raise ConfigError(
            f"the token for the hub can't be had ({type(error).__name__}): log in by `hf auth login`"
        ) from None
    if not token:
        raise ConfigError(
            "there is no token for the hub: log in by `hf auth login`, or set the environment variable "
            "HF_TOKEN"
        )
    hide(token)
    _state(name, public)


def upload(folder: Path, name: str, public: bool, message: str) -> str:
    """Upload all files of an export in one commit; of an earlier one, nothing stays in its folders.

    Args:
        folder: the export.
        name: OWNER/NAME; created where it is not there yet.
        public: whether everybody is to read it; else a new repository is private.
        message: of the commit.

    Returns:
        The repository's address.

    Raises:
        ConfigError: as of `check_repository`.
        DataError: the hub can't be reached or fails.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi

    check_repository(name, public)
    api = HfApi()
    _asked(name, lambda: api.create_repo(name, private=not public, exist_ok=True))
    found = _state(name, public)
    if found is None:
        raise DataError(f"the hub has no {name}, which it was asked to create: run the same command again")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    earlier = {each.rfilename for each in found.siblings or []} - files.keys()
    steps: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
        *(CommitOperationAdd(place, path) for place, path in files.items()),
        *(CommitOperationDelete(place) for place in sorted(earlier) if place.startswith(_FOLDERS)),
    ]
    _asked(
        name,
        lambda: api.create_commit(name, steps, commit_message=message, parent_commit=found.sha),
    )
    return f"{shown_url(api.endpoint)}/{name}"


def _state(name: str, public: bool) -> ModelInfo | None:
    """Return what a repository holds; None where there is none.

    Raises:
        ConfigError: it holds something else, or is open to others than asked.
        DataError: the hub can't be reached or fails.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    def ask() -> ModelInfo | None:
        try:
            return HfApi().model_info(name, timeout=_PATIENCE)
        except RepositoryNotFoundError as error:
            if error.response.status_code == 404:
                return None
            raise

    found = _asked(name, ask)
    if found is None:
        return None
    files = {each.rfilename for each in found.siblings or []}
    if not (files <= _NEW or files >= OURS):
        raise ConfigError(
            f"--to: {name} holds something else than an export of thinkrec ({sorted(files - _NEW)[0]}): name "
            "another repository"
        )
    if public and found.private:
        raise ConfigError(f"--public: {name} is private: open it on the hub, or leave --public out")
    if not public and not found.private:
        raise ConfigError(f"--to: {name} can be read by everybody: add --public, or name another repository")
    return found


def _asked(name: str, ask: Callable[[], T]) -> T:
    """Ask the hub, and turn what goes wrong into one sentence."""
    try:
        return ask()
    except ThinkrecError:
        raise
    except Exception as error:  # the client's own, of its HTTP library, of the system
        raise _fault(name, error) from None


def _fault(name: str, error: Exception) -> ThinkrecError:
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    where = f"the hub ({shown_url(ENDPOINT)})"
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, HfHubHTTPError):
        error = error.__cause__  # of an upload in a thread
    if isinstance(error, OfflineModeIsEnabled):
        return ConfigError(f"{where} is not asked while HF_HUB_OFFLINE is set: unset it")
    if not isinstance(error, HfHubHTTPError):
        if isinstance(error, ValueError):  # the client read an answer, or a card, that it can't use
            return DataError(f"{where} did not take {name}: {one_line(str(error))}")
        return DataError(
            f"{where} can't be reached ({type(error).__name__}): check the network, then run the same "
            "command again"
        )
    status = error.response.status_code
    said = one_line(error.server_message or "")[:200]
    words = f" ({said})" if said else ""
    if status == 401:
        return ConfigError(f"{where} does not know the token{words}: log in anew by `hf auth login`")
    if status == 403:
        return ConfigError(
            f"{where} does not let this token write {name}{words}: take a token with the right to write, or "
            "another owner"
        )
    if status in (409, 412):
        return DataError(f"{where}: {name} was changed meanwhile{words}: run the same command again")
    return DataError(f"{where} answers {status} about {name}{words}: try again later")
