"""Raw files in an object store that speaks S3, by s3fs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thinkrec.data.remote.stores import GoneError, PassingError, Stream, broken_off, judge, shown
from thinkrec.errors import ConfigError, DataError

_BLOCK = 1 << 25
"""Bytes in memory at a time; each block is a request of its own."""
_ADVICE = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (temporary ones: AWS_SESSION_TOKEN too), "
    "AWS_ENDPOINT_URL for a store that is not Amazon's, or FSSPEC_S3_ANON=true for a public bucket; "
    "where the bucket may not be listed, a missing file looks like a forbidden one"
)


class S3Store:
    """A prefix of a bucket; credentials, region and endpoint from where botocore looks for them."""

    def __init__(self, raw: str) -> None:
        """Take the prefix's address.

        Raises:
            ConfigError: s3fs is not installed.
        """
        try:
            from s3fs import S3FileSystem
        except ImportError as error:
            raise ConfigError(
                f"raw: {shown(raw)} needs a package that is not installed: pip install 'thinkrec[s3]'"
            ) from error
        self._raw = raw.rstrip("/")
        self._marks: dict[str, str] = {}
        once = {
            "retries": {"total_max_attempts": 1}
        }  # trying again is for the caller, in botocore's place ...
        self._files = S3FileSystem(skip_instance_cache=True, config_kwargs=once)
        self._files.retries = 1  # ... and in s3fs's

    def address(self, name: str) -> str:
        """Address of an object."""
        return f"{self._raw}/{name}"

    @contextmanager
    def open(self, name: str, start: int) -> Iterator[Stream]:
        """Ask for the object's length; a block's request fails when the object has changed since."""
        with self._errors(name):
            file = self._files.open(self.address(name), "rb", block_size=_BLOCK, cache_type="none")
        with file:
            if file.details["type"] != "file":
                raise GoneError
            mark = str(file.details.get("ETag", ""))
            if self._marks.get(name, mark) != mark:
                start = 0
            self._marks[name] = mark
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
        """Errors of s3fs, botocore and aiohttp as ours, without their text."""
        from aiohttp import ClientError as WebError
        from botocore import exceptions as boto
        from s3fs.utils import FileExpired

        try:
            yield
        except FileExpired:
            raise PassingError("it has changed meanwhile") from None
        except (boto.NoCredentialsError, boto.PartialCredentialsError):
            raise DataError(f"{shown(self.address(name))} needs credentials: {_ADVICE}") from None
        except (TimeoutError, boto.HTTPClientError, boto.ConnectionError, WebError) as error:
            broken_off(error, self.address(name), "AWS_CA_BUNDLE")
        except (OSError, boto.BotoCoreError, ValueError) as error:
            judge(*_status(error), self.address(name), _ADVICE)
            raise


def _status(error: BaseException) -> tuple[int, str]:
    """HTTP status behind what s3fs made of an answer, and the store's or else botocore's word for it."""
    if (answer := getattr(error.__cause__, "response", None)) is None:
        return _usual_status(error), type(error).__name__
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    code = str(answer.get("Error", {}).get("Code", ""))
    return status, f"{status} {code}".strip() if code != str(status) else code


def _usual_status(error: BaseException) -> int:
    """Of an error that has no answer behind it: mostly a profile, a region or an endpoint that is none."""
    from botocore.exceptions import ParamValidationError

    if isinstance(error, FileNotFoundError):
        return 404
    if isinstance(error, PermissionError):
        return 403
    return 400 if isinstance(error, OSError | ParamValidationError) else 403
