"""Resumable uploads that any server can go on with: state in the database, bytes in a bucket.

What arrives is kept as objects `uploads/<id>/<name>` of up to PART bytes, each noted in a row once it is
there; the offset is the sum of the rows. Whoever writes to an upload holds it for a while and renews that as
long as bytes come, so that another server can go on when one has died; a writer that has lost it can note
nothing more. The last byte brings the whole together: it is read once more, hashed, and written as a blob.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import CursorResult, Engine, delete, update
from sqlmodel import Session, col, select

from zoo.bucket import PART, Objects
from zoo.catalogue.engine import reading, writing
from zoo.catalogue.tables import UploadPart, UploadRow
from zoo.errors import Conflict, DigestMismatch, NotFound, TooLarge
from zoo.store import Blobs
from zoo.uploads import Upload, announced, require_offset, too_many, unknown

HOLD_SECONDS = 90.0  # longer than a server waits for a byte


class SharedAppending:
    """The one writer of an upload, for as long as it holds it."""

    def __init__(self, uploads: SharedUploads, upload: Upload, writer: str) -> None:
        self._uploads = uploads
        self._writer = writer
        self._buffer = bytearray()
        self._held = time.monotonic()
        self.upload = upload
        self.offset = upload.offset

    def write(self, piece: bytes) -> None:
        """Add bytes.

        Raises:
            TooLarge: There are more than the upload announced; nothing of this request is kept.
            Conflict: Another request has taken over.
        """
        if self.offset + len(piece) > self.upload.size:
            raise too_many(self.upload)
        self._buffer += piece
        self.offset += len(piece)
        if len(self._buffer) >= PART:
            self.flush()
        elif time.monotonic() - self._held > HOLD_SECONDS / 4:
            self._uploads.hold(self.upload.id, self._writer)
            self._held = time.monotonic()

    def flush(self) -> None:
        """Keep what has come."""
        if self._buffer:
            start = self.offset - len(self._buffer)
            self._uploads.keep(self.upload.id, self._writer, start, bytes(self._buffer))
            self._held = time.monotonic()
            self._buffer.clear()


class SharedUploads:
    """The unfinished uploads of a zoo whose blobs are in a bucket.

    Args:
        engine: The catalogue.
        objects: Where parts are kept.
        store: Where uploads end.
        largest: Bytes of the largest blob that is accepted.
        lifetime: Seconds without a byte after which an upload is removed.
    """

    def __init__(
        self, engine: Engine, objects: Objects, store: Blobs, largest: int, lifetime: float
    ) -> None:
        self._engine = engine
        self._objects = objects
        self._store = store
        self._largest = largest
        self._lifetime = lifetime

    def create(self, sha256: str, size: int) -> Upload | None:
        """Begin an upload.

        Args:
            sha256: The digest that the whole must have.
            size: Of the whole, in bytes.

        Returns:
            The upload, or None if the blob is there already.

        Raises:
            TooLarge: The server accepts no blob of that size.
        """
        upload = announced(self._store, sha256, size, self._largest)
        if upload is None:
            return None
        self.sweep()
        with writing(self._engine) as session:
            session.add(
                UploadRow(id=upload.id, sha256=upload.sha256, size=size, touched=time.time())
            )
        return upload

    def status(self, upload_id: str) -> Upload:
        """How far an upload is.

        Raises:
            NotFound: It never began, is complete, was forgotten, or rested too long.
        """
        with reading(self._engine) as session:
            return _read(session, upload_id)

    @contextmanager
    def append(self, upload_id: str, offset: int) -> Iterator[SharedAppending]:
        """Add bytes to an upload; when the last has come, the blob is placed in the store.

        Whatever arrived before a failure stays, except more bytes than were announced.

        Args:
            upload_id: Which.
            offset: Where the bytes belong: what `status` says.

        Raises:
            NotFound: There is no such upload.
            Conflict: Another request is writing, or the offset is out of step.
            DigestMismatch: The whole has another digest; the upload is gone.
        """
        with self._held(upload_id) as writer:
            upload = self.status(upload_id)
            require_offset(upload, offset)
            appending = SharedAppending(self, upload, writer)
            try:
                yield appending
            except TooLarge:
                self._drop(upload_id, writer, offset)
                raise
            except BaseException:
                appending.flush()
                raise
            appending.flush()
            if appending.offset == upload.size:
                self._finish(upload, writer)

    def forget(self, upload_id: str) -> None:
        """Drop an upload and what came of it.

        Raises:
            NotFound: There is no such upload.
            Conflict: Another request is writing to it.
        """
        with self._held(upload_id):
            self._remove(upload_id)

    def sweep(self) -> int:
        """Remove uploads that have rested too long.

        Returns:
            How many were removed.
        """
        query = select(UploadRow.id).where(col(UploadRow.touched) < time.time() - self._lifetime)
        with reading(self._engine) as session:
            old = session.exec(query).all()
        for upload_id in old:
            with suppress(Conflict, NotFound):
                self.forget(upload_id)
        return len(old)

    def __iter__(self) -> Iterator[Upload]:
        """All that have begun and have not ended."""
        with reading(self._engine) as session:
            names = session.exec(select(UploadRow.id).order_by(col(UploadRow.id))).all()
        for name in names:
            with suppress(NotFound):
                yield self.status(name)

    def hold(self, upload_id: str, writer: str) -> None:
        """Go on being the one who writes.

        Raises:
            Conflict: Another request has taken over.
        """
        with writing(self._engine) as session:
            self._touch(session, upload_id, writer)

    def keep(self, upload_id: str, writer: str, start: int, content: bytes) -> None:
        """Keep a part of an upload.

        Raises:
            Conflict: Another request has taken over.
        """
        # A name of its own: a writer that was taken for dead overwrites nothing.
        name = f"{start:016d}-{secrets.token_hex(8)}"
        self._objects.write(f"{upload_id}/{name}", content)
        with writing(self._engine) as session:
            self._touch(session, upload_id, writer)
            row = UploadPart(upload_id=upload_id, start=start, size=len(content), name=name)
            session.add(row)

    def _finish(self, upload: Upload, writer: str) -> None:
        query = select(UploadPart).where(UploadPart.upload_id == upload.id)
        with reading(self._engine) as session:
            parts = session.exec(query.order_by(col(UploadPart.start))).all()

        def content() -> Iterator[bytes]:
            held = time.monotonic()
            for part in parts:
                yield from self._objects.pieces(f"{upload.id}/{part.name}", 0, part.size)
                if time.monotonic() - held > HOLD_SECONDS / 4:
                    self.hold(upload.id, writer)
                    held = time.monotonic()

        try:
            self._store.put(content(), upload.sha256)
        except DigestMismatch:
            self._remove(upload.id)
            raise
        self._remove(upload.id)

    def _drop(self, upload_id: str, writer: str, start: int) -> None:
        """Forget the parts from an offset on."""
        with writing(self._engine) as session:
            self._touch(session, upload_id, writer)
            session.exec(
                delete(UploadPart).where(
                    col(UploadPart.upload_id) == upload_id, col(UploadPart.start) >= start
                )
            )

    def _remove(self, upload_id: str) -> None:
        with writing(self._engine) as session:
            session.exec(delete(UploadPart).where(col(UploadPart.upload_id) == upload_id))
            session.exec(delete(UploadRow).where(col(UploadRow.id) == upload_id))
        self._objects.below(upload_id).clear()

    @contextmanager
    def _held(self, upload_id: str) -> Iterator[str]:
        """Be the one who writes to an upload."""
        writer, now = secrets.token_hex(8), time.time()
        with writing(self._engine) as session:
            _read(session, upload_id)
            free = col(UploadRow.writer).is_(None) | (col(UploadRow.held_until) < now)
            taken: CursorResult[object] = session.exec(
                update(UploadRow)
                .where(col(UploadRow.id) == upload_id, free)
                .values(writer=writer, held_until=now + HOLD_SECONDS)
            )
            if taken.rowcount != 1:
                raise Conflict(
                    f"another request is writing to upload {upload_id}",
                    fix="wait until it ends, then ask for the offset and send the rest",
                )
        try:
            yield writer
        finally:
            with writing(self._engine) as session:
                mine = (col(UploadRow.id) == upload_id, col(UploadRow.writer) == writer)
                session.exec(update(UploadRow).where(*mine).values(writer=None))

    def _touch(self, session: Session, upload_id: str, writer: str) -> None:
        now = time.time()
        held: CursorResult[object] = session.exec(
            update(UploadRow)
            .where(col(UploadRow.id) == upload_id, col(UploadRow.writer) == writer)
            .values(touched=now, held_until=now + HOLD_SECONDS)
        )
        if held.rowcount != 1:
            raise Conflict(
                f"another request has taken upload {upload_id} over",
                fix="ask for the offset and send the rest",
            )


def _read(session: Session, upload_id: str) -> Upload:
    row = session.get(UploadRow, upload_id) if upload_id.isalnum() else None
    if row is None:
        raise unknown(upload_id)
    sizes = session.exec(select(UploadPart.size).where(UploadPart.upload_id == upload_id))
    return Upload(row.id, row.sha256, row.size, sum(sizes))
