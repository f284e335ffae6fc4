"""Backups in a bucket that speaks S3, through boto3: Amazon's own client, which knows every way to credentials there
is.

An object of up to `PART_BYTES` is one PUT, a larger one a multipart upload: one part is held in memory at a time. Parts
grow with their number, so that the 10,000 which S3 takes are 880 GB. S3 shows an object only once it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from server.backups.errors import MissingObject, TargetRefused, TargetUnavailable
from server.backups.target import Read, Stored
from server.config import Settings

PART_BYTES = 16 * 1024 * 1024
GROWTH_PARTS = 1_000
"""After each so many parts, parts are larger by `PART_BYTES`."""
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
ATTEMPTS = 5

_REFUSALS = {
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "ExpiredToken", "InvalidToken",
    "AllAccessDisabled", "AuthorizationHeaderMalformed", "PermanentRedirect", "401", "403",
}  # fmt: skip
_ABSENT = {"NoSuchKey", "404", "NotFound"}


class S3Target:
    """A `BackupTarget`."""

    def __init__(self, client: Any, bucket: str, prefix: str, part_bytes: int = PART_BYTES) -> None:
        """`part_bytes` is smaller in tests; Amazon takes no part below 5 MiB but the last."""
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._part_bytes = part_bytes

    @classmethod
    def of(cls, settings: Settings) -> S3Target:
        """The bucket that the settings name. Connects to nothing."""
        parts = urlsplit(settings.backup_target)
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "max_attempts": ATTEMPTS},
            # Stores other than Amazon's do not all know its newer checksums; ours are in the manifest.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            client = boto3.client(
                "s3",
                endpoint_url=settings.backup_s3_endpoint_url or None,
                region_name=settings.backup_s3_region or None,
                aws_access_key_id=settings.backup_s3_access_key or None,
                aws_secret_access_key=settings.backup_s3_secret_key or None,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise TargetRefused(f"{settings.backup_target} cannot be used: {error}") from None
        return cls(client, parts.netloc, parts.path)

    @property
    def name(self) -> str:
        """Bucket and prefix."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @contextmanager
    def uploading(self, path: str) -> Iterator[Callable[[bytes], None]]:
        """See `BackupTarget`."""
        upload = _Upload(self, self._prefix + path)
        try:
            yield upload.write
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    @contextmanager
    def downloading(self, path: str) -> Iterator[Read]:
        """See `BackupTarget`."""
        body = self.call("get_object", path, Key=self._prefix + path)["Body"]
        try:

            def read(count: int) -> bytes:
                with self.telling(path):
                    # botocore ends a read early where the connection's buffer does.
                    pieces = []
                    while count > 0 and (piece := body.read(count)):
                        pieces.append(piece)
                        count -= len(piece)
                    return b"".join(pieces)

            yield read
        finally:
            body.close()

    def size(self, path: str) -> int | None:
        """See `BackupTarget`."""
        try:
            return int(self.call("head_object", path, Key=self._prefix + path)["ContentLength"])
        except MissingObject:
            return None

    def renew(self, path: str, before_ms: int) -> None:
        """See `BackupTarget`. A rule of the bucket counts from the last write: it is copied onto itself, over there."""
        key = self._prefix + path
        if self.call("head_object", path, Key=key)["LastModified"].timestamp() * 1000 >= before_ms:
            return
        with self.telling(path):
            source = {"Bucket": self._bucket, "Key": key}
            # In parts where it has to be: boto3 sees to that.
            self._client.copy(source, self._bucket, key, ExtraArgs={"MetadataDirective": "REPLACE"})

    def stored(self, folder: str) -> Iterator[Stored]:
        """See `BackupTarget`."""
        more: dict[str, str] = {}
        while True:
            page = self.call("list_objects_v2", folder, Prefix=f"{self._prefix}{folder}/", **more)
            for each in page.get("Contents", ()):
                path = str(each["Key"]).removeprefix(self._prefix)
                yield Stored(path, int(each["Size"]), int(each["LastModified"].timestamp() * 1000))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def remove(self, path: str) -> None:
        """See `BackupTarget`."""
        self.call("delete_object", path, Key=self._prefix + path)

    def remove_leftovers(self, before_ms: int) -> int:
        """See `BackupTarget`."""
        removed = 0
        more: dict[str, str] = {}
        while True:
            page = self.call("list_multipart_uploads", "", Prefix=self._prefix, **more)
            for each in page.get("Uploads", ()):
                if each["Initiated"].timestamp() * 1000 < before_ms:
                    self.call("abort_multipart_upload", "", Key=each["Key"], UploadId=each["UploadId"])
                    removed += 1
            if not page.get("IsTruncated"):
                return removed
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def part_bytes(self, parts: int) -> int:
        """How large the part after so many is."""
        return self._part_bytes * (1 + parts // GROWTH_PARTS)

    def call(self, operation: str, path: str, **parameters: Any) -> dict[str, Any]:
        """One request to the bucket."""
        with self.telling(path):
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self._bucket, **parameters)
            return answer

    @contextmanager
    def telling(self, path: str) -> Iterator[None]:
        """Errors of the client become ours; they hold no credentials."""
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _ABSENT:
                raise MissingObject(path) from None
            if code in _REFUSALS:
                raise TargetRefused(
                    f"{self.name} refuses us ({code}): check the bucket, the credentials and what they may do "
                    "(list, get, put, delete, multipart uploads)"
                ) from None
            raise TargetUnavailable(f"{self.name} does not take it ({code})") from None
        except (NoCredentialsError, PartialCredentialsError):
            raise TargetRefused(
                f"{self.name} needs credentials: set FOOTFALL_BACKUP_S3_ACCESS_KEY and FOOTFALL_BACKUP_S3_SECRET_KEY, "
                "or what AWS's own tools read"
            ) from None
        except (BotoCoreError, OSError) as error:
            raise TargetUnavailable(f"{self.name} does not answer ({type(error).__name__})") from None


class _Upload:
    """One object on its way."""

    def __init__(self, target: S3Target, key: str) -> None:
        self._target = target
        self._key = key
        self._waiting = bytearray()
        self._upload_id = ""
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) > (count := self._target.part_bytes(len(self._parts))):
            self._send(bytes(self._waiting[:count]))
            del self._waiting[:count]

    def finish(self) -> None:
        if not self._upload_id:
            self._target.call("put_object", self._key, Key=self._key, Body=bytes(self._waiting))
            return
        self._send(bytes(self._waiting))
        self._target.call(
            "complete_multipart_upload",
            self._key,
            Key=self._key,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
        )
        self._upload_id = ""

    def abort(self) -> None:
        """Whatever fails here is removed as a leftover later."""
        if self._upload_id:
            with suppress(TargetRefused, TargetUnavailable, MissingObject):
                self._target.call("abort_multipart_upload", self._key, Key=self._key, UploadId=self._upload_id)

    def _send(self, part: bytes) -> None:
        if not self._upload_id:
            self._upload_id = str(self._target.call("create_multipart_upload", self._key, Key=self._key)["UploadId"])
        number = len(self._parts) + 1
        answer = self._target.call(
            "upload_part", self._key, Key=self._key, UploadId=self._upload_id, PartNumber=number, Body=part
        )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
