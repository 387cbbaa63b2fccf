"""Files of a model hub, brought by the hub's own client."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from thinkrec.errors import DataError, StorageError

_PATIENCE = 10
"""Seconds to wait for the hub's first answer (our choice)."""


def hub_files(repository: str, names: Sequence[str], revision: str | None = None) -> list[Path]:
    """Return files of a repository, from the hub or its cache.

    A commit's files come from the cache if it has all; the newest ones only where the hub can't be reached.

    An interrupted download is resumed by the hub's own client.

    Args:
        repository: OWNER/NAME.
        names: of the files.
        revision: a commit; None for the newest.

    Raises:
        DataError: the hub can't be reached or does not give them.
        StorageError: the disk is full.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from requests import RequestException, head

    def files(local: bool) -> list[Path]:
        options: Any = {"revision": revision, "local_files_only": local}
        return [Path(hf_hub_download(repository, name, **options)) for name in names]

    if revision or constants.HF_HUB_OFFLINE:
        with suppress(LocalEntryNotFoundError):
            return files(local=True)
    if constants.HF_HUB_OFFLINE:
        raise DataError(f"the hub's cache lacks {repository}, and HF_HUB_OFFLINE is set")
    try:  # the client itself tries for half a minute
        head(constants.ENDPOINT, timeout=_PATIENCE)
    except RequestException as error:
        with suppress(LocalEntryNotFoundError):
            return files(local=True)
        raise DataError(f"the hub can't be reached ({type(error).__name__})") from None
    try:
        return files(local=False)
    except Exception as error:  # the client's own, of its HTTP library, of the system
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StorageError(f"the hub's cache is full ({error}): free some space") from error
        raise DataError(f"the hub does not give {repository} ({type(error).__name__})") from None
