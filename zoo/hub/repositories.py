"""The use cases of repositories: create, look at, commit to, name, move, delete.

`main` is what hub clients put there (`upload`), and beside it, as folders, the forms of the latest
published version; where only one of the two is there it is that one's commit. A version is a commit
without parents, so that its id follows from its manifest alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache

from sqlalchemy import Engine, func
from sqlalchemy import delete as delete_rows
from sqlmodel import Session, col, select

from zoo.access import Access, Identity, Role, log, mark_private, unknown_model
from zoo.catalogue.engine import reading, writing
from zoo.catalogue.tables import (
    Commit,
    Model,
    PrivateModel,
    Ref,
    Repository,
    Version,
    Waiting,
    caseless,
)
from zoo.errors import Conflict, InvalidReference, MissingBlobs, NotFound, TooLarge
from zoo.hub import card, configuration, listing
from zoo.hub.configuration import CONFIGURATION
from zoo.hub.history import ancestors, changed_last, forget_unreachable, large_files
from zoo.hub.intake import follow_squash, leave_line, wait_in_line
from zoo.hub.objects import Directory, Entry, commit_id, file_id, write_trees
from zoo.hub.records import (
    Addition,
    CommitInfo,
    Deletion,
    Operation,
    RefInfo,
    RepositoryInfo,
)
from zoo.hub.refs import (
    BRANCH,
    COMMIT,
    FORM,
    MAIN,
    TAG,
    UPLOAD,
    VERSION,
    candidates,
    require_ref_name,
)
from zoo.hub.trees import blobs_of, files_of, keep_trees, list_tree, walk
from zoo.manifest import Manifest
from zoo.reference import is_file_path, latest_version, parse_reference, shown
from zoo.store import Blob, Blobs

README = "README.md"
# Stock hub clients refuse to fetch larger files over plain HTTP.
LARGEST_FILE = 50_000_000_000
MOST_FILES = 100_000
MOST_KNOWN = 10_000
# How little of a commit's id may stand for it, as with git.
_SHORT = re.compile(r"[0-9a-f]{5,40}\Z")


class RevisionNotFound(NotFound):
    """A repository has no such revision."""


class EntryNotFound(NotFound):
    """A revision has no such file or folder; `details` says which commit it is."""


@dataclass(frozen=True)
class _Head:
    """A repository and a commit of it, within a session."""

    repository: Repository
    commit: Commit


class Repositories:
    """The repositories of one zoo.

    Args:
        engine: Its catalogue.
        store: Its blobs.
        access: Its door.
    """

    def __init__(self, engine: Engine, store: Blobs, access: Access) -> None:
        self._engine = engine
        self._store = store
        # Size and id of git by digest, which never change, and may be far away.
        self._known = lru_cache(maxsize=MOST_KNOWN)(self._look_at)
        self._access = access

    # Looking

    def info(self, name: str, who: Identity) -> RepositoryInfo:
        """What is known of a repository.

        Raises:
            NotFound: There is none of that name for whoever asks.
        """
        with self._open(name, who) as session:
            return _info(session, _repository(session, name))

    def look(
        self, name: str, revision: str, who: Identity
    ) -> tuple[RepositoryInfo, CommitInfo, dict[str, Entry]]:
        """What is known of a repository, and a revision's commit with all its files by path, in order.

        Raises:
            NotFound: There is no such repository or revision.
        """
        with self._open(name, who) as session:
            head = _resolve(session, name, revision)
            files = files_of(session, head.commit.tree)
            return _info(session, head.repository), _commit_info(head.commit), files

    def search(
        self,
        who: Identity,
        *,
        words: str = "",
        author: str | None = None,
        tags: Sequence[str] = (),
        unpublished: bool = False,
        state: listing.State | None = None,
        sort: str = "",
        limit: int = 1000,
        cursor: str | None = None,
        offset: int = 0,
    ) -> tuple[tuple[RepositoryInfo, ...], str | None]:
        """Repositories that fit, a page at a time.

        Args:
            who: Who asks; private ones of others are left out.
            words: That must all be in the name or the tags.
            author: The organisation.
            tags: That it must all have.
            unpublished: Whether only those count of which no version is published.
            state: Whether only those count of which an upload waits to be looked at, or was refused.
            sort: `lastModified`, `createdAt` (both the newest first) or `name`; by default the best
                match of the words first, where there are any, or the newest.
            limit: At most so many.
            cursor: That of the page before.
            offset: After so many, for clients that count pages; not by relevance.

        Returns:
            The page, and the cursor of the next; None on the last.

        Raises:
            InvalidReference: The cursor is not one that was given out for this.
        """
        return listing.search(
            self._engine,
            listing.Filter(words, author, tuple(tags), unpublished, state),
            who,
            sort=sort,
            limit=limit,
            cursor=cursor,
            offset=offset,
        )

    def count(self, who: Identity, *, words: str = "", author: str | None = None) -> int:
        """How many repositories fit; see `search`."""
        return listing.count(self._engine, listing.Filter(words, author), who)

    def commit(self, name: str, revision: str, who: Identity) -> CommitInfo:
        """The commit that a revision names.

        Raises:
            NotFound: There is no such repository or revision.
        """
        with self._open(name, who) as session:
            return _commit_info(_resolve(session, name, revision).commit)

    def files(self, name: str, revision: str, who: Identity) -> tuple[CommitInfo, dict[str, Entry]]:
        """A revision's commit, and all its files by path, in order.

        Raises:
            NotFound: There is no such repository or revision.
        """
        with self._open(name, who) as session:
            head = _resolve(session, name, revision)
            return _commit_info(head.commit), files_of(session, head.commit.tree)

    def text_of(self, entry: Entry, most: int) -> str:
        """The beginning of a file as text: at most so many bytes."""
        blob = Blob(self._store, entry.sha256, entry.size)
        return blob.read(most).decode(errors="replace")

    def tree(
        self, name: str, revision: str, path: str, who: Identity, *, recursive: bool
    ) -> tuple[CommitInfo, list[Entry | Directory]]:
        """What is in a folder of a revision, in order.

        Raises:
            NotFound: There is no such repository or revision.
            EntryNotFound: There is no such folder.
        """
        with self._open(name, who) as session:
            commit = _resolve(session, name, revision).commit
            found = walk(session, commit.tree, path)
            if not isinstance(found, Directory):
                raise _no_entry(name, revision, path, commit.id)
            return _commit_info(commit), list(list_tree(session, found, recursive=recursive))

    def entry(
        self, name: str, revision: str, path: str, who: Identity
    ) -> tuple[CommitInfo, Entry | Directory]:
        """A file or folder of a revision.

        Raises:
            NotFound: There is no such repository or revision.
            EntryNotFound: There is no such file or folder.
        """
        with self._open(name, who) as session:
            commit = _resolve(session, name, revision).commit
            found = walk(session, commit.tree, path)
            if found is None:
                raise _no_entry(name, revision, path, commit.id)
            return _commit_info(commit), found

    def refs(self, name: str, who: Identity) -> tuple[RefInfo, ...]:
        """All branches, versions, forms and tags."""
        with self._open(name, who) as session:
            row = _repository(session, name)
            found = session.exec(
                select(Ref)
                .where(Ref.repository_id == row.id)
                .order_by(col(Ref.kind), col(Ref.name))
            )
            return tuple(RefInfo(r.kind, r.name, r.target) for r in found if r.kind != UPLOAD)

    def history(self, name: str, revision: str, who: Identity) -> list[CommitInfo]:
        """The commits up to a revision, the newest first; of two parents, the upload's is followed.

        Raises:
            NotFound: There is no such repository or revision.
        """
        with self._open(name, who) as session:
            head = _resolve(session, name, revision)
            return [_commit_info(commit) for commit in ancestors(session, head.commit)]

    def changed_last(
        self, name: str, commit: str, paths: Sequence[str], who: Identity
    ) -> dict[str, CommitInfo]:
        """The commits, up to one, that changed files and folders of it last; see `history.changed_last`.

        Raises:
            NotFound: There is no such repository or commit.
        """
        with self._open(name, who) as session:
            found = changed_last(session, _resolve(session, name, commit).commit, paths)
            return {path: _commit_info(row) for path, row in found.items()}

    # Changing

    def create(self, name: str, by: Identity, *, private: bool = False) -> None:
        """Make an empty repository.

        Raises:
            InvalidReference: This cannot be its name.
            Conflict: There is one of that name.
        """
        self._access.require(by, Role.WRITE, name)
        with writing(self._engine) as session:
            self._create(session, name, by, private, _now())

    def duplicate(self, name: str, to: str, by: Identity, *, private: bool | None = None) -> None:
        """Make a repository that has what is on main of another, in one commit.

        Args:
            name: The other.
            to: Its own name.
            by: Who makes it.
            private: Whether only its organisation sees it; None: if that is so of the other.

        Raises:
            NotFound: There is no such repository.
            InvalidReference: This cannot be its name.
            Conflict: There is one of that name.
        """
        self._access.require(by, Role.READ, name)
        self._access.require(by, Role.WRITE, to)
        self.follow(name)
        now = _now()
        with writing(self._engine) as session:
            source = _repository(session, name)
            head = _branch(session, source, MAIN)
            hidden = session.get(PrivateModel, source.name) is not None
            row = self._create(session, to, by, hidden if private is None else private, now)
            first = _branch(session, row, MAIN)
            if head.tree == first.tree:
                return
            title = f"Duplicate {source.name}"
            made = _add_commit(session, row, head.tree, [first.id], title, "", by, now)
            _set_ref(session, row, UPLOAD, MAIN, made.id)
            wait_in_line(session, row, MAIN, made.id, now)
            self._describe(session, row, _join(session, row))
            log(session, by, "repository.commit", f"{to}@{MAIN}", commit=made.id)

    def _create(
        self, session: Session, name: str, by: Identity, private: bool, now: datetime
    ) -> Repository:
        if parse_reference(name).version is not None:
            raise InvalidReference(f"{shown(name)} names a version", fix="leave out the version")
        if _find(session, name) is not None:
            raise Conflict(f"{name} is there already", fix="choose another name, or use that one")
        row = Repository(
            name=name, created_at=now, updated_at=now, published=_is_published(session, name),
            card="{}", tags="\n",
        )  # fmt: skip
        listing.touch(session, row, now)
        listing.add(session, row)
        mark_private(session, name, private)
        root, trees = write_trees(())
        keep_trees(session, trees)
        first = _add_commit(session, row, root, [], "Begin", "", by, now)
        _set_ref(session, row, BRANCH, MAIN, first.id)
        log(session, by, "repository.create", name, private=private)
        return row

    def delete(self, name: str, by: Identity) -> None:
        """Take a repository away.

        Raises:
            Conflict: It has published versions, which stay.
        """
        self._access.require(by, Role.ADMIN, name)
        with writing(self._engine) as session:
            row = _unpublished(session, name, "deleted")
            for table in (Ref, Waiting, Commit):
                session.exec(delete_rows(table).where(col(table.repository_id) == row.id))
            mark_private(session, row.name, False)
            listing.remove(session, row)
            session.delete(row)
            log(session, by, "repository.delete", name)

    def move(self, name: str, to: str, by: Identity) -> None:
        """Give a repository another name.

        Raises:
            Conflict: The name is taken, or it has published versions, which keep theirs.
        """
        parse_reference(to)
        self._access.require(by, Role.ADMIN, name)
        self._access.require(by, Role.WRITE, to)
        with writing(self._engine) as session:
            row = _unpublished(session, name, "moved")
            taken = _find(session, to)
            if taken is not None and taken.id != row.id:
                raise Conflict(f"{to} is there already", fix="choose another name")
            private = session.get(PrivateModel, row.name) is not None
            mark_private(session, row.name, False)
            session.flush()
            listing.remove(session, row)
            row.name, row.published = to, _is_published(session, to)
            listing.add(session, row)
            mark_private(session, to, private)
            log(session, by, "repository.move", name, to=to)

    def set_private(self, name: str, private: bool, by: Identity) -> None:
        """Hide a repository from everyone outside its organisation, or show it."""
        self._access.require(by, Role.ADMIN, name)
        self.info(name, by)
        self._access.set_private(name, private, by)

    def change(
        self,
        name: str,
        branch: str,
        operations: Sequence[Operation],
        by: Identity,
        *,
        title: str,
        message: str = "",
        parent: str | None = None,
    ) -> CommitInfo:
        """Commit to a branch.

        Args:
            name: The repository.
            branch: The branch; it must be there.
            operations: In order.
            by: Who commits.
            title: The first line of the message.
            message: The rest.
            parent: The commit that the branch must be at; the beginning of its id is enough.

        Returns:
            The head of the branch afterwards; no new commit where nothing changes.

        Raises:
            NotFound: There is no such repository, branch, or file to delete.
            Conflict: The branch has moved on, or a published file would change.
            InvalidReference: A path is not one.
            TooLarge: A file is too large for hub clients to fetch.
        """
        self._access.require(by, Role.WRITE, name)
        branch = branch.removeprefix("refs/heads/")
        added = {op.sha256: self._sized(op) for op in operations if isinstance(op, Addition)}
        now = _now()
        self.follow(name)
        with writing(self._engine) as session:
            row = _repository(session, name)
            head = _branch(session, row, branch)
            self._require(added)
            if parent is not None and not (_SHORT.match(parent) and head.id.startswith(parent)):
                raise Conflict(
                    f"{branch} of {name} is at {head.id}, not at {parent}: somebody has committed",
                    fix="look at what has changed, then commit again",
                )
            base = _upload_of(session, row, branch)
            before = {} if base is None else files_of(session, base.tree)
            seen = files_of(session, head.tree)
            after = dict(before)
            for operation in operations:
                self._apply(session, row, after, seen, operation, added)
            _require_consistent(after)
            if after == before:
                return _commit_info(head)
            root, trees = write_trees(after.values())
            keep_trees(session, trees)
            parents = [] if base is None else [base.id]
            made = _add_commit(session, row, root, parents, title, message, by, now)
            if branch == MAIN:
                _set_ref(session, row, UPLOAD, MAIN, made.id)
                wait_in_line(session, row, MAIN, made.id, now)
                made = _join(session, row)
                self._describe(session, row, made)
            else:
                _set_ref(session, row, BRANCH, branch, made.id)
            listing.touch(session, row, now)
            log(session, by, "repository.commit", f"{name}@{branch}", commit=made.id)
            session.flush()
            return _commit_info(made)

    def squash(self, name: str, branch: str, by: Identity, *, title: str) -> CommitInfo:
        """Put one commit in the place of a branch's history; commits that nothing leads to any more are gone.

        Returns:
            The head of the branch afterwards.

        Raises:
            NotFound: There is no such repository or branch.
            Conflict: It is main, and versions are published, which count its commits.
        """
        self._access.require(by, Role.ADMIN, name)
        branch = branch.removeprefix("refs/heads/")
        self.follow(name)
        now = _now()
        with writing(self._engine) as session:
            row = (
                _unpublished(session, name, "squashed")
                if branch == MAIN
                else _repository(session, name)
            )
            head = _branch(session, row, branch)
            made = _add_commit(session, row, head.tree, [], title, "", by, now)
            _set_ref(session, row, BRANCH, branch, made.id)
            if branch == MAIN and _target(session, row, UPLOAD, MAIN) is not None:
                _set_ref(session, row, UPLOAD, MAIN, made.id)
                follow_squash(session, row, MAIN, made.id)
            forget_unreachable(session, row)
            listing.touch(session, row, now)
            log(session, by, "repository.squash", f"{name}@{branch}", commit=made.id)
            session.flush()
            return _commit_info(made)

    def large_files(self, name: str, who: Identity) -> list[tuple[Entry, CommitInfo]]:
        """All files of all commits that git would keep pointers to, with the commits that had them first.

        Raises:
            NotFound: There is no such repository.
        """
        with self._open(name, who) as session:
            found = large_files(session, _repository(session, name))
            return [(entry, _commit_info(commit)) for entry, commit in found]

    def create_branch(self, name: str, branch: str, start: str, by: Identity) -> None:
        """Make a branch that begins at a revision.

        Raises:
            Conflict: There is one of that name.
        """
        self._name(name, BRANCH, branch, start, by)

    def create_tag(self, name: str, tag: str, revision: str, by: Identity) -> None:
        """Give a revision another name, for ever.

        Raises:
            Conflict: There is one of that name.
        """
        self._name(name, TAG, tag, revision, by)

    def delete_ref(self, name: str, kind: str, ref: str, by: Identity) -> None:
        """Take away a branch or a tag.

        Raises:
            RevisionNotFound: There is none of that name.
            Conflict: It is main, or follows from what is published.
        """
        self._access.require(by, Role.WRITE, name)
        self.follow(name)
        with writing(self._engine) as session:
            row = _repository(session, name)
            found = session.get(Ref, (row.id, kind, ref))
            fixed = ref == MAIN or any(session.get(Ref, (row.id, k, ref)) for k in (VERSION, FORM))
            if fixed:
                raise Conflict(f"{ref} of {name} cannot be deleted", fix="delete others only")
            if found is None:
                raise _no_revision(name, ref)
            session.delete(found)
            if kind == TAG:
                leave_line(session, row, ref)
            log(session, by, f"{kind}.delete", f"{name}@{ref}")

    def _name(self, name: str, kind: str, ref: str, revision: str, by: Identity) -> None:
        require_ref_name(ref)
        self._access.require(by, Role.WRITE, name)
        self.follow(name)
        with writing(self._engine) as session:
            head = _resolve(session, name, revision)
            if any(session.get(Ref, (head.repository.id, k, ref)) for k in (BRANCH, VERSION, TAG)):
                raise Conflict(f"{name} has a revision {ref} already", fix="choose another name")
            _set_ref(session, head.repository, kind, ref, head.commit.id)
            if kind == TAG:
                wait_in_line(session, head.repository, ref, head.commit.id, _now())
            log(session, by, f"{kind}.create", f"{name}@{ref}", commit=head.commit.id)

    def _require(self, digests: Iterable[str]) -> None:
        """Refuse bytes that are not there; within a transaction, nobody removes them until its end."""
        missing = [digest for digest in digests if not self._store.keep(digest)]
        if missing:
            raise MissingBlobs(
                f"sha256:{missing[0]} is not in the store",
                fix="upload it again, then commit",
                details={"missing": [f"sha256:{digest}" for digest in missing]},
            )

    def _sized(self, addition: Addition) -> Entry:
        _require_path(addition.path)
        self._require([addition.sha256])
        size, _ = self._known(addition.sha256)
        if size > LARGEST_FILE:
            raise TooLarge(
                f"{addition.path} has {size} bytes; hub clients fetch at most {LARGEST_FILE} in a file",
                fix="save the model in shards below 50 GB, then upload those",
            )
        return self._placed(addition.path, addition.sha256)

    def _apply(
        self,
        session: Session,
        row: Repository,
        after: dict[str, Entry],
        seen: Mapping[str, Entry],
        operation: Operation,
        added: Mapping[str, Entry],
    ) -> None:
        path = operation.path
        if isinstance(operation, Addition):
            found = added[operation.sha256]
            after[path] = Entry(path, found.sha256, found.size, found.oid)
        else:
            self._take(row, after, seen, operation)

    def _take(
        self, row: Repository, after: dict[str, Entry], seen: Mapping[str, Entry], what: Deletion
    ) -> None:
        inside = what.path.rstrip("/") + "/"
        gone = [p for p in after if p == what.path or (what.folder and p.startswith(inside))]
        for path in gone:
            del after[path]
        if not gone and any(p == what.path or p.startswith(inside) for p in seen):
            raise Conflict(
                f"{what.path} belongs to a published version of {row.name}, which never changes",
                fix="publish another version",
            )
        if not gone:
            raise EntryNotFound(f"{row.name} has no {shown(what.path)} to delete")

    # For whoever removes what nobody needs

    def blobs(self, names: Iterable[str] | None = None) -> Iterator[str]:
        """The digests of all files in all commits, some of them often.

        Args:
            names: Of these repositories only.
        """
        query = select(Commit.tree).distinct()
        if names is not None:
            query = query.join(Repository, col(Repository.id) == Commit.repository_id).where(
                col(Repository.name).in_(list(names))
            )
        with reading(self._engine) as session:
            yield from blobs_of(session, set(session.exec(query)))

    def last_commit(self) -> int:
        """The number of the newest commit of all; 0 where there is none."""
        with reading(self._engine) as session:
            return session.exec(select(func.max(Commit.number))).one() or 0

    def committed_since(self, number: int) -> set[str]:
        """The repositories that have commits after one."""
        query = (
            select(Repository.name)
            .join(Commit, col(Commit.repository_id) == Repository.id)
            .where(col(Commit.number) > number)
        )
        with reading(self._engine) as session:
            return set(session.exec(query))

    # What follows from published versions

    def _open(self, name: str, who: Identity) -> AbstractContextManager[Session]:
        self._access.require(who, Role.READ, name)
        self.follow(name)
        return reading(self._engine)

    def follow(self, name: str) -> None:
        """Write the commits of versions that were published since the last look."""
        with reading(self._engine) as session:
            unseen = [
                Manifest.model_validate_json(row.manifest) for _, row in _unseen(session, name)
            ]
        if not unseen:
            return
        # Before anybody has to wait for this.
        for manifest in unseen:
            for artifact in manifest.artifacts:
                for file in artifact.files:
                    self._known(file.sha256)
        with writing(self._engine) as session:
            row = _find(session, name)
            latest = None
            # Another process may have written them meanwhile; then there are none left.
            for model, version in _unseen(session, name):
                if row is None:
                    at = version.published_at
                    row = Repository(
                        name=model.name, created_at=at, updated_at=at, published=True,
                        card="{}", tags="\n",
                    )  # fmt: skip
                    listing.add(session, row)
                self._add_version(
                    session, row, Manifest.model_validate_json(version.manifest), version
                )
                latest = model.latest
                listing.touch(session, row, max(row.updated_at, version.published_at))
            if row is not None and latest is not None:
                self._follow(session, row, latest)

    def _add_version(
        self, session: Session, row: Repository, manifest: Manifest, version: Version
    ) -> None:
        entries = [
            self._placed(f"{artifact.framework}/{file.path}", file.sha256)
            for artifact in manifest.artifacts
            for file in artifact.files
        ]
        text = card.write_card(manifest)
        entries.append(self._text(README, text))
        commit = self._snapshot(session, row, entries, f"Publish {manifest.version}", version)
        _set_ref(session, row, VERSION, manifest.version, commit.id)

    def _follow(self, session: Session, row: Repository, latest: str) -> None:
        """Move main and the forms to the latest version."""
        version = session.exec(
            select(Version)
            .join(Model, col(Model.id) == Version.model_id)
            .where(Model.name == row.name, Version.version == latest)
        ).one()
        manifest = Manifest.model_validate_json(version.manifest)
        for stale in session.exec(select(Ref).where(Ref.repository_id == row.id, Ref.kind == FORM)):
            session.delete(stale)
        session.flush()
        for artifact in manifest.artifacts:
            entries = [self._placed(file.path, file.sha256) for file in artifact.files]
            if not any(entry.path == README for entry in entries):
                entries.append(self._text(README, card.write_card(manifest)))
            title = f"Publish {manifest.version} for {artifact.framework}"
            commit = self._snapshot(session, row, entries, title, version)
            _set_ref(session, row, FORM, artifact.framework, commit.id)
        self._describe(session, row, _join(session, row))
        session.add(row)

    def _snapshot(
        self, session: Session, row: Repository, entries: list[Entry], title: str, version: Version
    ) -> Commit:
        root, trees = write_trees(entries)
        keep_trees(session, trees)
        by = Identity("polyzoo")
        return _add_commit(session, row, root, [], title, "", by, version.published_at)

    def _placed(self, path: str, sha256: str) -> Entry:
        size, oid = self._known(sha256)
        return Entry(path, sha256, size, oid)

    def _look_at(self, sha256: str) -> tuple[int, str]:
        size = self._store.size(sha256)
        return size, file_id(sha256, size, self._store.pieces(sha256))

    def _text(self, path: str, content: bytes) -> Entry:
        digest = hashlib.sha256(content).hexdigest()
        self._store.put([content], digest)
        return Entry(path, digest, len(content), file_id(digest, len(content), [content]))

    def _describe(self, session: Session, row: Repository, commit: Commit) -> None:
        """Keep the model card's metadata where it can be searched, with what a configuration says where it does not."""

        def text(path: str, most: int) -> str:
            found = walk(session, commit.tree, path)
            return self.text_of(found, most) if isinstance(found, Entry) else ""

        readme = text(README, 4 * card.LARGEST_METADATA)
        metadata = card.read_metadata(readme.replace("\r\n", "\n"))
        config = configuration.read(text(CONFIGURATION, configuration.LARGEST))
        forms = session.exec(
            select(Ref.name).where(Ref.repository_id == row.id, Ref.kind == FORM)
        ).all()
        tags = card.tags_of({**configuration.metadata_of(config), **metadata})
        tags += [tag for form in forms for tag in (form, card.LIBRARIES[form])]
        tags = list(dict.fromkeys(tags))
        listing.remove(session, row)
        kept = {"metadata": metadata, "config": config, "tags": tags}
        row.card = json.dumps(kept, ensure_ascii=False)
        row.tags = card.searchable(tags)
        listing.add(session, row)


def _unseen(session: Session, name: str) -> list[tuple[Model, Version]]:
    known = (
        select(caseless(col(Ref.name)))
        .join(Repository, col(Repository.id) == Ref.repository_id)
        .where(Repository.name == name, Ref.kind == VERSION)
    )
    query = (
        select(Model, Version)
        .join(Version, col(Version.model_id) == Model.id)
        .where(Model.name == name, col(Version.version).not_in(known))
        .order_by(col(Version.id))
    )
    return list(session.exec(query))


def _join(session: Session, row: Repository) -> Commit:
    """Set main to the upload with the latest version's forms beside it; gives its commit."""
    upload = _target(session, row, UPLOAD, MAIN)
    names = session.exec(
        select(Ref.name).where(Ref.repository_id == row.id, Ref.kind == VERSION)
    ).all()
    latest = latest_version(list(names))
    version = None if latest is None else _target(session, row, VERSION, latest)
    if version is None or upload is None:
        found = upload or version
        assert found is not None  # noqa: S101 - somebody has just written one of them
    else:
        uploaded = files_of(session, upload.tree)
        tops = {path.partition("/")[0] for path in uploaded}
        # A folder that was uploaded is left alone: two models in one would be neither.
        beside = files_of(session, version.tree)
        joined = {
            **uploaded,
            **{p: e for p, e in beside.items() if p.partition("/")[0] not in tops},
        }
        root, trees = write_trees(joined.values())
        keep_trees(session, trees)
        at = max(upload.at, version.at)
        title = f"{upload.title} (with {latest} beside it)"
        parents = [upload.id, version.id]
        found = _add_commit(
            session, row, root, parents, title, upload.message, Identity(upload.author), at
        )
    _set_ref(session, row, BRANCH, MAIN, found.id)
    return found


def _find(session: Session, name: str) -> Repository | None:
    found: Repository | None = session.exec(
        select(Repository).where(Repository.name == name)
    ).first()
    return found


def _info(session: Session, row: Repository) -> RepositoryInfo:
    return listing.info(row, session.get(PrivateModel, row.name) is not None)


def _is_published(session: Session, name: str) -> bool:
    return session.exec(select(Model.id).where(Model.name == name)).first() is not None


def _repository(session: Session, name: str) -> Repository:
    row = _find(session, name)
    if row is None:
        raise unknown_model(name)
    return row


def _unpublished(session: Session, name: str, what: str) -> Repository:
    row = _repository(session, name)
    if session.exec(select(Model.id).where(Model.name == row.name)).first() is not None:
        raise Conflict(
            f"{name} has published versions, which never change, and cannot be {what}",
            fix="make it private, if nobody should see it",
        )
    return row


def _resolve(session: Session, name: str, revision: str) -> _Head:
    row = _repository(session, name)
    wanted, kinds = candidates(revision)
    for kind in kinds:
        found = _target(session, row, kind, wanted)
        if found is not None:
            return _Head(row, found)
    commit = _commit(session, row, revision) if _SHORT.match(revision) else None
    if commit is None:
        raise _no_revision(name, revision)
    return _Head(row, commit)


def _branch(session: Session, row: Repository, branch: str) -> Commit:
    found = _target(session, row, BRANCH, branch)
    if found is None:
        raise RevisionNotFound(
            f"{row.name} has no branch {shown(branch)}",
            fix="commit to a branch that is there, or make it first",
        )
    return found


def _upload_of(session: Session, row: Repository, branch: str) -> Commit | None:
    """What a commit to a branch builds on; None for main where nothing was uploaded."""
    if branch != MAIN:
        return _branch(session, row, branch)
    upload = _target(session, row, UPLOAD, MAIN)
    if (
        upload is None
        and session.exec(
            select(Ref.name).where(Ref.repository_id == row.id, Ref.kind == VERSION)
        ).first()
        is None
    ):
        return _branch(session, row, MAIN)
    return upload


def _target(session: Session, row: Repository, kind: str, name: str) -> Commit | None:
    here = (col(Ref.repository_id) == Commit.repository_id) & (col(Ref.target) == Commit.id)
    query = select(Commit).join(Ref, here).where(Commit.repository_id == row.id)
    found: Commit | None = session.exec(query.where(Ref.kind == kind, Ref.name == name)).first()
    return found


def _commit(session: Session, row: Repository, commit: str) -> Commit | None:
    """The commit whose id this is, or the only one whose id begins with it."""
    same = col(Commit.id) == commit if COMMIT.match(commit) else col(Commit.id).startswith(commit)
    found = session.exec(select(Commit).where(Commit.repository_id == row.id, same).limit(2)).all()
    return found[0] if len(found) == 1 else None


def _set_ref(session: Session, row: Repository, kind: str, name: str, target: str) -> None:
    found = session.get(Ref, (row.id, kind, name))
    if found is None:
        assert row.id is not None  # noqa: S101 - it was flushed
        found = Ref(repository_id=row.id, kind=kind, name=name, target=target)
    found.target = target
    session.add(found)
    session.flush()


def _add_commit(
    session: Session,
    row: Repository,
    tree: str,
    parents: Sequence[str],
    title: str,
    message: str,
    by: Identity,
    at: datetime,
) -> Commit:
    text = f"{title}\n\n{message}" if message else title
    commit = commit_id(tree, parents, text)
    found = _commit(session, row, commit)
    if found is not None:
        return found
    assert row.id is not None  # noqa: S101 - it was flushed
    made = Commit(
        repository_id=row.id,
        id=commit,
        tree=tree,
        parent=parents[0] if parents else None,
        title=title,
        message=message,
        author=by.name,
        at=at,
    )
    session.add(made)
    session.flush()
    return made


def _require_path(path: str) -> None:
    if not is_file_path(path):
        raise InvalidReference(
            f"{shown(path)} cannot be the path of a file",
            fix="use a relative path without '..', '.git' and characters that some systems refuse",
        )


def _require_consistent(files: Mapping[str, Entry]) -> None:
    if len(files) > MOST_FILES:
        raise TooLarge(f"more than {MOST_FILES} files in a repository", fix="pack some of them")
    folders = {p[:i] for p in files for i, c in enumerate(p) if c == "/"}
    both = next((path for path in files if path in folders), None)
    if both is not None:
        raise InvalidReference(
            f"{shown(both)} would be a file and a folder", fix="delete one, or rename the other"
        )


def _no_revision(name: str, revision: str) -> RevisionNotFound:
    return RevisionNotFound(
        f"{name} has no revision {shown(revision)}", fix="its branches and tags are its revisions"
    )


def _no_entry(name: str, revision: str, path: str, commit: str) -> EntryNotFound:
    return EntryNotFound(
        f"{name} has no {shown(path)} at {shown(revision)}",
        fix="list its files",
        details={"commit": commit},
    )


def _commit_info(row: Commit) -> CommitInfo:
    return CommitInfo(row.id, row.title, row.message, row.author, _utc(row.at), row.tree)


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=timezone.utc)
