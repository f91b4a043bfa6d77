"""Histories: what changed when. The argument is the name of a repository to be made."""

import hashlib
import io
import json
import random
import sys

from huggingface_hub import CommitOperationAdd, HfApi, HfFileSystem, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

(repo,) = sys.argv[1:]
api = HfApi()


def refused(words, call, kind=HfHubHTTPError):
    try:
        call()
    except kind as error:
        if words not in str(error):
            raise
        return
    raise SystemExit(f"not refused: {words}")


def commit(title, *, paths, **more):
    add = [CommitOperationAdd(path, title.encode()) for path in paths]
    return api.create_commit(repo, add, commit_message=title, **more).oid


api.create_repo(repo)
first = commit("first", paths=["a.txt", "sub/b.txt"])
second = commit("second", paths=["sub/b.txt"])
# Each file has the commit that changed it last, not that of the revision.
found = {
    item.path: item.last_commit for item in api.list_repo_tree(repo, recursive=True, expand=True)
}
assert {path: last.title for path, last in found.items()} == {
    "a.txt": "first", "sub": "second", "sub/b.txt": "second",
}  # fmt: skip
(info,) = api.get_paths_info(repo, ["a.txt"], expand=True)
assert info.last_commit.oid == first
assert HfFileSystem().modified(f"{repo}/a.txt") == found["a.txt"].date

# The beginning of a commit's id is enough.
assert api.model_info(repo, revision=first[:7]).sha == first
with open(hf_hub_download(repo, "sub/b.txt", revision=first[:8])) as file:
    assert file.read() == "first"
third = commit("third", paths=["a.txt"], parent_commit=second[:7])
refused("somebody has committed", lambda: commit("race", paths=["a.txt"], parent_commit=second[:7]))
# Commits and tags do not move.
api.create_tag(repo, tag="v1")
elsewhere = [{"paths": ["a.txt"], "revision": revision} for revision in (first, "v1")]
for more in elsewhere:
    refused("has no branch", lambda more=more: commit("x", **more), RevisionNotFoundError)

# A history that is not needed any more, and what it holds.
large = [random.Random(seed).randbytes(10_500_000) for seed in (1, 2)]
for content in large:
    api.upload_file(path_or_fileobj=io.BytesIO(content), path_in_repo="large.bin", repo_id=repo)
held = {item.file_oid: (item.filename, item.size) for item in api.list_lfs_files(repo)}
assert held == {hashlib.sha256(c).hexdigest(): ("large.bin", len(c)) for c in large}
refused("squash", lambda: api.permanently_delete_lfs_files(repo, api.list_lfs_files(repo)))
files = api.list_repo_files(repo)
api.create_tag(repo, tag="v2", revision=api.list_repo_commits(repo)[1].commit_id)
api.super_squash_history(repo, commit_message="all of it")
assert [step.title for step in api.list_repo_commits(repo)] == ["all of it"]
assert api.list_repo_files(repo) == files
assert len(list(api.list_lfs_files(repo))) == 2, "the tag has the other"
api.delete_tag(repo, tag="v2")
api.create_branch(repo, branch="dev/x")
api.super_squash_history(repo, branch="dev/x")
assert len(list(api.list_lfs_files(repo))) == 1

if hasattr(api, "duplicate_repo"):
    url = api.duplicate_repo(repo, repo + "-copy")
    assert (url.repo_id, api.list_repo_files(url.repo_id)) == (repo + "-copy", files)
    assert api.duplicate_repo(repo, repo + "-copy", exist_ok=True).repo_id == url.repo_id
    refused("is there already", lambda: api.duplicate_repo(repo, repo + "-copy"))
print(json.dumps("done"))
