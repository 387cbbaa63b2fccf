"""Raw files in an S3-compatible object store, via s3fs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thinkrec.data.remote.stores import (
    NotFoundError,
    Stream,
    TransientError,
    raise_for_status,
    raise_network_error,
    redacted,
)
from thinkrec.errors import ConfigError, DataError

_BLOCK = 1 << 25
"""Bytes per request."""
_ADVICE = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (temporary ones: AWS_SESSION_TOKEN too), "
    "AWS_ENDPOINT_URL for a store that is not Amazon's, or FSSPEC_S3_ANON=true for a public bucket; "
    "where the bucket may not be listed, a missing file looks like a forbidden one"
)


class S3Store:
    """A prefix of a bucket; botocore finds credentials, region and endpoint."""

    def __init__(self, raw: str) -> None:
        """Open the prefix at an address.

        Raises:
            ConfigError: s3fs is not installed.
        """
        try:
            from s3fs import S3FileSystem
        except ImportError as error:
            raise ConfigError(
                f"raw: {redacted(raw)} needs a package that is not installed: pip install 'thinkrec[s3]'"
            ) from error
        self._raw = raw.rstrip("/")
        self._etags: dict[str, str] = {}
        # The caller retries, instead of botocore and s3fs.
        once = {"retries": {"total_max_attempts": 1}}
        self._files = S3FileSystem(skip_instance_cache=True, config_kwargs=once)
        self._files.retries = 1

    def address(self, name: str) -> str:
        """Return the address of an object."""
        return f"{self._raw}/{name}"

    @contextmanager
    def open(self, name: str, start: int) -> Iterator[Stream]:
        """Open an object; reading a block fails if the object has changed since."""
        with self._errors(name):
            file = self._files.open(self.address(name), "rb", block_size=_BLOCK, cache_type="none")
        with file:
            if file.details["type"] != "file":
                raise NotFoundError
            etag = str(file.details.get("ETag", ""))
            if self._etags.get(name, etag) != etag:
                start = 0
            self._etags[name] = etag
            file.seek(start)
            yield Stream(start, file.size, self._blocks(file, name))

    def _blocks(self, file: Any, name: str) -> Iterator[bytes]:
        while True:
            with self._errors(name):
                block = file.read(_BLOCK)
            if not block:
                return
            yield block

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Translate errors of s3fs, botocore and aiohttp, without their text."""
        from aiohttp import ClientError as WebError
        from botocore import exceptions as boto
        from s3fs.utils import FileExpired

        try:
            yield
        except FileExpired:
            raise TransientError("it has changed meanwhile") from None
        except (boto.NoCredentialsError, boto.PartialCredentialsError):
            raise DataError(f"{redacted(self.address(name))} needs credentials: {_ADVICE}") from None
        except (TimeoutError, boto.HTTPClientError, boto.ConnectionError, WebError) as error:
            raise_network_error(error, self.address(name), "AWS_CA_BUNDLE")
        except (OSError, boto.BotoCoreError, ValueError) as error:
            raise_for_status(*_status(error), self.address(name), _ADVICE)
            raise


def _status(error: BaseException) -> tuple[int, str]:
    """Return the HTTP status behind an error of s3fs, and the store's or botocore's name for it."""
    if (answer := getattr(error.__cause__, "response", None)) is None:
        return _default_status(error), type(error).__name__
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    code = str(answer.get("Error", {}).get("Code", ""))
    return status, f"{status} {code}".strip() if code != str(status) else code


def _default_status(error: BaseException) -> int:
    """Map an error without response to a status: mostly an invalid profile, region or endpoint."""
    from botocore.exceptions import ParamValidationError

    if isinstance(error, FileNotFoundError):
        return 404
    if isinstance(error, PermissionError):
        return 403
    return 400 if isinstance(error, OSError | ParamValidationError) else 403
