"""A bucket of Cloud Storage, Google's or an emulator's: what lies in it, and files to and from it.

Between Earth Engine and this machine stands a network that breaks, and a bucket that others may write to.
So an object is pinned to its generation while it moves, nothing counts as moved before its CRC32C is that of
the other side, and a file takes its name when it is whole. The client tries requests again by its own rules
(https://cloud.google.com/storage/docs/retry-strategy), for a bounded time.
"""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import ee
from google.api_core.exceptions import Conflict, Forbidden, GoogleAPICallError, NotFound
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from gee.connection import KEY_FILE_SETTING, from_key_file
from gee.errors import CredentialsError
from pipeline.cloud.cloud_errors import sentence, told
from pipeline.cloud.transfers import Counted, StoredObject, Tally, Transfer, checksum
from pipeline.errors import AuthError, ConfigError, StorageError
from pipeline.progress import Report
from pipeline.work.ledger import Ledger, ObjectRow
from pipeline.work.staging import sweep, whole

RANGE_BYTES = 8 << 20  # of a download
PIECE_BYTES = 4 << 20  # of an upload: what a cut connection loses at most
FILES_AT_ONCE = 3
RANGES_AT_ONCE = 6  # with a request for each file, within the ten connections that the client keeps
TRIES = 3  # of a file that does not arrive as it was sent
RETRY_SECONDS = 180.0  # for a request or a range
FIRST_SECONDS = 20.0  # to find out that nobody is there
TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two parts of an answer
SEND_TIMEOUT = (120.0, 60.0)  # urllib3 sends a whole piece under the first of them, be the line ever so slow
RETRY: Retry = DEFAULT_RETRY.with_timeout(RETRY_SECONDS).with_delay(maximum=16.0)
BUCKET_NAME = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"  # https://cloud.google.com/storage/docs/buckets#naming
_REPLACED = (404, 412, 416)  # gone, of another generation, shorter than it was
_BROKEN_OFF = (400, 404, 410, 412)  # a session that is lost, or one whose last answer was


def open_bucket(
    name: str,
    project: str,
    endpoint: str | None = None,
    credentials: Credentials | str | Path | None = None,
    create: bool = False,
) -> Bucket:
    """Open a bucket and see that it is there.

    Credentials are the first of: ``credentials`` (an object, or the path of a key file); the file that
    GOOGLE_APPLICATION_CREDENTIALS names; what ``earthengine authenticate`` stored. An emulator is sent an
    object's, or none.

    Args:
        name: without ``gs://``.
        project: that requests are made in, and that a new bucket belongs to.
        endpoint: of an emulator; None is Google.
        credentials: as above.
        create: make the bucket where there is none.

    Raises:
        ConfigError: no bucket can have this name.
        AuthError: there are no credentials, or they do not open this bucket.
        StorageError: there is no such bucket, or nothing answers.
    """
    if not re.fullmatch(BUCKET_NAME, name):
        raise ConfigError(f"{name!r} cannot be a bucket.\nSet GEE_SMAP_BUCKET to its name, without gs://.")
    first = RETRY.with_timeout(FIRST_SECONDS)
    with told(f"gs://{name}"):
        client = storage.Client(
            project=project,
            credentials=_credentials(credentials, endpoint),
            client_options={"api_endpoint": endpoint} if endpoint else None,
        )
        try:
            return Bucket(client.get_bucket(name, retry=first, timeout=TIMEOUT))
        except Forbidden:  # who may read and write objects may still not look at the bucket
            next(iter(client.list_blobs(name, max_results=1, retry=first, timeout=TIMEOUT)), None)
            return Bucket(client.bucket(name))
        except NotFound as error:
            if not create:
                raise StorageError(
                    f"The bucket gs://{name} does not exist.\nMind its name in GEE_SMAP_BUCKET, or make it: "
                    f"gcloud storage buckets create gs://{name} --location=us-central1 --project={project}"
                ) from error
        try:
            return Bucket(client.create_bucket(name, retry=first, timeout=TIMEOUT))
        except Conflict:  # made by somebody else meanwhile, or by a first try whose answer was lost
            return Bucket(client.get_bucket(name, retry=first, timeout=TIMEOUT))


def _credentials(given: Credentials | str | Path | None, endpoint: str | None) -> Credentials:
    if isinstance(given, Credentials):
        return given
    if endpoint:  # which is not Google, to whom alone those of files belong
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    path = given or os.environ.get(KEY_FILE_SETTING)
    try:
        stored: Credentials = from_key_file(Path(path)) if path else ee.data.get_persistent_credentials()
    except CredentialsError as error:
        raise AuthError(f"{error}\nType: gee-smap auth") from error
    except (ee.EEException, GoogleAuthError, OSError, ValueError) as error:
        raise AuthError("There are no credentials for Google.\nType: gee-smap auth") from error
    return stored


class _ChangedError(Exception):
    """An object is not what it was said to be, in words that follow its name."""


@dataclass(frozen=True)
class Bucket:
    """A bucket that is there.

    Attributes:
        handle: the client's; safe in several threads.
        retry: how often and for how long a request is tried again.
    """

    handle: storage.Bucket
    retry: Retry = RETRY

    @property
    def name(self) -> str:
        """Its name, without ``gs://``."""
        return str(self.handle.name)

    def uri(self, name: str) -> str:
        """Of an object."""
        return f"gs://{self.name}/{name}"

    def listing(self, prefix: str) -> tuple[StoredObject, ...]:
        """The objects whose names begin so, in order of name.

        Raises:
            AuthError: they may not be listed.
            StorageError: the bucket is gone, or Cloud Storage does not answer.
        """
        with told(self.uri(prefix)):
            found = [StoredObject.of(blob) for blob in self.handle.list_blobs(
                prefix=prefix, timeout=TIMEOUT, retry=self.retry
            )]  # fmt: skip
        return tuple(sorted(found, key=lambda one: one.name))

    def find(self, name: str) -> StoredObject | None:
        """An object as it is now; None where there is none.

        Raises:
            AuthError: it may not be looked at.
            StorageError: Cloud Storage does not answer.
        """
        with told(self.uri(name)):
            blob = self.handle.get_blob(name, timeout=TIMEOUT, retry=self.retry)
            return None if blob is None else StoredObject.of(blob)

    def leftovers(self, prefix: str, keep: Iterable[str]) -> tuple[StoredObject, ...]:
        """What lies in a study's folder and is not wanted any more; ``remove`` takes its names.

        Args:
            prefix: the folder; that of ``anhui`` is not that of ``anhui-2``.
            keep: names of objects.

        Raises:
            AuthError: the folder may not be listed.
            StorageError: Cloud Storage does not answer.
        """
        kept = set(keep)
        return tuple(one for one in self.listing(_folder(prefix)) if one.name not in kept)

    def remove(self, names: Iterable[str]) -> tuple[str, ...]:
        """Delete objects.

        Returns:
            The names of those that were there.

        Raises:
            AuthError: they may not be deleted.
            StorageError: Cloud Storage does not answer.
        """

        def delete(name: str) -> bool:
            with told(self.uri(name)):
                try:
                    self.handle.blob(name).delete(timeout=TIMEOUT, retry=self.retry)
                except NotFound:
                    return False
                return True

        every = list(dict.fromkeys(names))
        with ThreadPoolExecutor(RANGES_AT_ONCE) as pool:
            return tuple(name for name, was in zip(every, pool.map(delete, every), strict=True) if was)

    # Down

    def download(
        self, names: Sequence[str], folder: Path, report: Report, ledger: Ledger | None = None
    ) -> Transfer:
        """Fetch objects as files, several side by side and large ones in ranges.

        A file that is there with its object's checksum stays as it is. What is whole before an error stays.

        Args:
            names: of the objects; a file has the last part of the name.
            folder: for the files; made where it is not there.
            report: told what is being done and the share of it that is done.
            ledger: to record the objects in.

        Raises:
            AuthError: an object may not be read.
            StorageError: an object is not there, never arrives as Cloud Storage says it is, or is replaced
                again and again; Cloud Storage does not answer; the disk is full.
        """
        began = time.monotonic()
        paths = {name: folder / PurePosixPath(name).name for name in names}
        if len(set(paths.values())) < len(paths) or folder in paths.values():
            raise ValueError(f"objects without a file name each: {', '.join(paths)}")
        with told(str(folder), folder):
            folder.mkdir(parents=True, exist_ok=True)
            for path in paths.values():
                sweep(path)
            report("download: looking at what is there", 0.0)
            found = self._looked_up(paths)
            wanted = [one for name, one in found.items() if not one.is_in(paths[name])]
            tally = Tally("download", sum(one.size for one in wanted))
            _check_space(folder, tally.total)
        for one in found.values():
            if one not in wanted:
                self._record(ledger, one, paths[one.name])

        def fetch(one: StoredObject) -> StoredObject:
            fetched = self._fetch(one, paths[one.name], ranges, tally)
            self._record(ledger, fetched, paths[one.name])
            return fetched

        with ThreadPoolExecutor(RANGES_AT_ONCE) as ranges:
            fetched = tally.side_by_side(fetch, wanted, FILES_AT_ONCE, report)
        objects = {**found, **{one.name: one for one in fetched}}
        return Transfer(
            "downloaded",
            tuple(paths.values()),
            tuple(objects.values()),
            frozenset(one.name for one in fetched),
            time.monotonic() - began,
        )

    def _looked_up(self, names: Iterable[str]) -> dict[str, StoredObject]:
        """Objects by name, all of which must be there."""
        with ThreadPoolExecutor(RANGES_AT_ONCE) as pool:
            found = dict(zip(names, pool.map(self.find, names), strict=True))
        if missing := [name for name, one in found.items() if one is None]:
            raise self._gone(missing)
        return {name: one for name, one in found.items() if one is not None}

    def _fetch(
        self, wanted: StoredObject, path: Path, ranges: ThreadPoolExecutor, tally: Tally
    ) -> StoredObject:
        """Fetch an object as it was found, or as it has become meanwhile."""
        reason = ""
        for _ in range(TRIES):
            try:
                with told(self.uri(wanted.name), path), whole(path) as beside:
                    self._fill(beside, wanted, ranges, tally)
                return wanted
            except _ChangedError as error:
                reason = str(error)
            wanted = self._looked_up([wanted.name])[wanted.name]
        raise StorageError(
            f"{self.uri(wanted.name)} {reason}, {TRIES} times over; it was not taken.\n"
            "See that nothing else writes to this folder of the bucket, then type the same command again."
        )

    def _fill(self, path: Path, wanted: StoredObject, ranges: ThreadPoolExecutor, tally: Tally) -> None:
        """Write an object's content into a file."""
        with path.open("wb") as file:
            file.truncate(wanted.size)
        futures = [
            ranges.submit(self._fill_range, path, wanted, start, tally)
            for start in range(0, wanted.size, RANGE_BYTES)
        ]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
            wait(futures)  # nobody may write to the file any more when it goes
        if (arrived := checksum(path)) != wanted.crc32c:
            raise _ChangedError(f"arrived with CRC32C {arrived} in place of {wanted.crc32c}")

    def _fill_range(self, path: Path, wanted: StoredObject, start: int, tally: Tally) -> None:
        try:
            with path.open("r+b") as file:
                file.seek(start)
                self.handle.blob(wanted.name).download_to_file(
                    Counted(file, tally),
                    start=start,
                    end=min(start + RANGE_BYTES, wanted.size) - 1,
                    raw_download=True,  # as stored, which is what the checksum is of
                    checksum=None,
                    if_generation_match=wanted.generation,
                    timeout=TIMEOUT,
                    retry=self.retry,
                )
        except GoogleAPICallError as error:
            if error.code in _REPLACED:
                raise _ChangedError("was replaced while it was fetched") from error
            raise

    def _record(self, ledger: Ledger | None, one: StoredObject, path: Path) -> None:
        if ledger is None:
            return
        known = ledger.object(one.name)
        row = replace(
            known or ObjectRow(one.name, self.name), bucket=self.name, generation=one.generation,
            size=one.size, crc32c=one.crc32c, path=path, state="downloaded",
        )  # fmt: skip
        if row != known:
            ledger.put_object(row)

    def _gone(self, names: Sequence[str]) -> StorageError:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return StorageError(
            f"gs://{self.name} does not hold {', '.join(names[:5])}{more}.\n"
            "Type: gee-smap export, which makes again what is missing."
        )

    # Up

    def upload(self, paths: Sequence[Path], prefix: str, report: Report) -> Transfer:
        """Store files as objects in a folder of the bucket, several side by side.

        An object that has the file's checksum stays as it is; another of that name is replaced, unless it
        changes while the file is being sent. Whatever has arrived before an error stays.

        Args:
            paths: of the files; an object has the file's name.
            prefix: the folder.
            report: told what is being done and the share of it that is done.

        Raises:
            AuthError: the folder may not be written.
            StorageError: somebody else writes to an object at the same time, or a file never arrives as it
                was sent; Cloud Storage does not answer; a file cannot be read.
        """
        began = time.monotonic()
        files = {_folder(prefix) + path.name: path for path in paths}
        if len(files) < len(paths):
            raise ValueError(f"files of one name for one folder: {', '.join(map(str, paths))}")
        report("upload: looking at what is there", 0.0)
        there = {one.name: one for one in self.listing(_folder(prefix))}
        wanted = {}
        for name, path in files.items():
            with told(self.uri(name), path):
                if name not in there or not there[name].is_in(path):
                    wanted[name] = path.stat().st_size
        tally = Tally("upload", sum(wanted.values()))
        sent = tally.side_by_side(
            lambda name: self._send(name, files[name], there.get(name), tally), wanted, FILES_AT_ONCE, report
        )
        objects: Mapping[str, StoredObject] = {**there, **{one.name: one for one in sent}}
        return Transfer(
            "uploaded",
            tuple(files.values()),
            tuple(objects[name] for name in files),
            frozenset(wanted),
            time.monotonic() - began,
        )

    def _send(self, name: str, path: Path, known: StoredObject | None, tally: Tally) -> StoredObject:
        """Store a file in place of what is known to be there, or of nothing."""
        reason = ""
        for _ in range(TRIES):
            try:
                with told(self.uri(name), path):
                    known = self._send_once(name, path, known, tally)
                reason = "arrived as something else"
            except _ChangedError as error:
                reason = str(error)
            now = self.find(name)
            if now is not None and now.is_in(path):
                return now
            if now is not None and now != known:
                raise StorageError(
                    f"{self.uri(name)} was written by somebody else while {path} was being sent to it.\n"
                    "See that no other gee-smap works on this study, then type the same command again."
                )
            known = now
        raise StorageError(f"{path} {reason}, {TRIES} times over.\nType the same command again.")

    def _send_once(self, name: str, path: Path, known: StoredObject | None, tally: Tally) -> StoredObject:
        blob = self.handle.blob(name, chunk_size=PIECE_BYTES)
        try:
            with path.open("rb") as file:
                blob.upload_from_file(
                    Counted(file, tally),
                    size=path.stat().st_size,
                    content_type=mimetypes.guess_type(name)[0],
                    if_generation_match=known.generation if known else 0,
                    checksum="crc32c",
                    timeout=SEND_TIMEOUT,
                    retry=self.retry,
                )
        except DataCorruption as error:
            raise _ChangedError("did not arrive as it was sent") from error
        except GoogleAPICallError as error:
            if error.code in _BROKEN_OFF:
                raise _ChangedError(f"was refused ({sentence(error)})") from error
            raise
        return StoredObject.of(blob)


def _folder(prefix: str) -> str:
    """A prefix as the folder of a study; never the whole bucket."""
    if not prefix.strip("/"):
        raise ValueError("a study's folder has a name")
    return prefix.strip("/") + "/"


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"The disk of {folder} has {free / 1e6:,.1f} MB left and the files need {needed / 1e6:,.1f} MB.\n"
            "Free some space, or choose a work directory on another disk; nothing was fetched."
        )
