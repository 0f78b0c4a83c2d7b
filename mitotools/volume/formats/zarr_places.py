"""Where a zarr lies: a folder, or a URL that fsspec knows. Credentials are the environment's business."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import fsspec
import zarr
from zarr.storage import FsspecStore, LocalStore

from mitotools.errors import InputError, MitotoolsError, TargetError
from mitotools.volume.formats import check_stored

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

    from mitotools.volume.formats.ngff import Json

Place = Path | str
"""A folder, or a URL."""

ROOT_FILES = ("zarr.json", ".zgroup", ".zarray")
"""One of these makes a folder a zarr."""

METADATA = (*ROOT_FILES, ".zattrs", ".zmetadata")

MOST_METADATA_BYTES = 2**26

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
"""The extra of this package that a kind of URL needs."""

CONNECT_SECONDS, READ_SECONDS = 10, 60
"""How long a server may take to answer; what it answers may take longer."""

_NO_CREDENTIALS = ("NoCredentialsError", "Unable to locate credentials")


def is_url(place: Place) -> bool:
    """Whether the place is a URL rather than a folder."""
    return isinstance(place, str) and "://" in place


def within(place: Place, name: str) -> Place:
    """Return the place of a member."""
    if isinstance(place, Path):
        return place / name
    return f"{place.rstrip('/')}/{name}" if is_url(place) else Path(place) / name


class Folder(LocalStore):
    """A folder of which metadata are read where they are files of a size that metadata may have."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return what a file holds; None where there is none."""
        if key.rpartition("/")[2] in METADATA:
            check_stored(f"{self.root}/{key}", MOST_METADATA_BYTES)
        return await super().get(key, prototype, byte_range)


def store_at(place: Place, *, read_only: bool) -> Store:
    """Return the zarr store of a place.

    Raises
    ------
    InputError
        Where the kind of URL is unknown, or its library is not installed.
    """
    if not is_url(place):
        return Folder(place, read_only=read_only)
    url = str(place)
    try:
        return FsspecStore.from_url(url, storage_options=_options(url), read_only=read_only)
    except Exception as error:
        raise unreachable(url, error) from error


def filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    try:
        found: tuple[Any, str] = fsspec.url_to_fs(url, **_options(url))
    except Exception as error:
        raise unreachable(url, error) from error
    return found


def unreachable(url: str, error: BaseException) -> InputError:
    """Return the line for an error that a URL's library or server raised."""
    scheme = url.partition("://")[0].lower()
    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ImportError):
        extra = EXTRAS.get(scheme)
        what_next = f"pip install 'mitotools[{extra}]'" if extra else "Install the package that it names"
        return InputError(url, f"needs a package that is not installed ({words})", what_next)
    if isinstance(error, ValueError) and "rotocol not known" in words:
        return InputError(
            url, f"{scheme}:// is not known", "Known are s3, gs, http, https, file and others of fsspec"
        )
    if any(sign in f"{type(error).__name__} {words}" for sign in _NO_CREDENTIALS):
        hint = "Set AWS_PROFILE or AWS_ACCESS_KEY_ID; for a public bucket, FSSPEC_S3_ANON=true"
        return InputError(url, "needs credentials", hint)
    if isinstance(error, PermissionError) or "403" in words[:12] or "401" in words[:12]:
        return InputError(url, f"access is denied ({words})")
    if isinstance(error, FileNotFoundError):
        return InputError(url, "there is no zarr, or no such bucket")
    if isinstance(error, TimeoutError):
        return InputError(url, f"the server does not answer ({words})")
    return InputError(url, f"cannot be read ({words})")


def read_json(place: Place, name: str) -> Json | None:
    """Return a metadata file; None where there is none.

    Raises
    ------
    InputError
        Where it cannot be read, or is not a JSON object.
    """
    file = within(place, name)
    try:
        content = _content(file)
        document = None if content is None else json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(str(file), f"cannot be read ({error})") from error
    if document is not None and not isinstance(document, dict):
        raise InputError(str(file), "holds no JSON object")
    return cast("Json | None", document)


def write_json(place: Place, name: str, document: Json) -> None:
    """Write a metadata file, which is there whole or not at all."""
    file = within(place, name)
    content = json.dumps(document, indent=2).encode()
    if is_url(file):
        system, path = filesystem(str(file))
        try:
            system.pipe_file(path, content)
        except Exception as error:
            raise unwritable(str(file), error) from error
        return
    local = Path(file)
    local.parent.mkdir(parents=True, exist_ok=True)
    partial = local.with_name(f".{name}.partial")  # one that a killed run left is written over
    try:
        partial.write_bytes(content)
        partial.replace(local)
    finally:
        partial.unlink(missing_ok=True)


def unwritable(place: str, error: Exception) -> MitotoolsError:
    """Return the line for a URL that cannot be written."""
    if isinstance(error, FileNotFoundError):
        return TargetError(place, f"cannot be written ({' '.join(str(error).split())})")
    if isinstance(error, NotImplementedError):
        return TargetError(place, "cannot be written: its server only hands out files")
    found = unreachable(place, error)
    return TargetError(place, found.why.replace("cannot be read", "cannot be written"), found.what_next)


def state(url: str) -> Literal["complete", "unfinished"] | None:
    """Return whether there is a zarr at a URL, or what a run has left of one; None: nothing.

    Raises
    ------
    InputError
        Where the server does not say.
    """
    system, path = filesystem(url)
    try:
        if any(system.exists(f"{path}/{name}") for name in ROOT_FILES):
            return "complete"
        return "unfinished" if system.exists(path) else None
    except FileNotFoundError:  # no such bucket
        return None
    except Exception as error:
        raise unreachable(url, error) from error


def discard(url: str) -> None:
    """Delete the zarr at a URL, finished or not, as a whole; its name goes first.

    Raises
    ------
    TargetError
        Where it cannot be deleted, or the URL is not that of a zarr.
    """
    if ".zarr" not in url.lower():
        raise TargetError(url, "is not the name of a zarr, and is not deleted")
    system, path = filesystem(url)
    try:
        for name in ROOT_FILES:
            if system.exists(f"{path}/{name}"):
                system.rm_file(f"{path}/{name}")
        if system.exists(path):
            system.rm(path, recursive=True)
    except FileNotFoundError:
        return
    except Exception as error:
        raise unwritable(url, error) from error


def consolidate_again(place: Place) -> None:
    """Bring the consolidated metadata of a zarr up to date, if it has any: readers look nowhere else."""
    document = read_json(place, "zarr.json") or {}
    if "consolidated_metadata" in document or read_json(place, ".zmetadata") is not None:
        with warnings.catch_warnings():
            # Other programs' files, and that zarr v3 has no standard for this, are no concern of the user.
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(store_at(place, read_only=False))


def _content(file: Place) -> bytes | None:
    if not is_url(file):
        check_stored(str(file), MOST_METADATA_BYTES)
        return Path(file).read_bytes() if Path(file).is_file() else None
    system, path = filesystem(str(file))
    try:
        content: bytes = system.cat_file(path)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise unreachable(str(file), error) from error
    return content


def _options(url: str) -> dict[str, Any]:
    """Return what makes servers that do not answer an error in bounded time."""
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):
        import aiohttp  # noqa: PLC0415, optional

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        return {"client_kwargs": {"timeout": timeout, "trust_env": True}}
    if EXTRAS.get(scheme) == "s3":
        limits = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"max_attempts": 2},
        }
        own = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        return {"config_kwargs": {**limits, **own}, "use_listings_cache": False}
    return {"use_listings_cache": False}
