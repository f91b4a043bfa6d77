"""Everything that writes: the argument is the name of a repository to be made and deleted again."""

import io
import json
import random
import struct
import sys
import tempfile
from pathlib import Path

import huggingface_hub
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    snapshot_download,
)
from huggingface_hub.errors import HfHubHTTPError

repo = sys.argv[1]
api = HfApi()


def refused(words, call):
    try:
        call()
    except (HfHubHTTPError, ValueError) as error:
        if words not in str(error):
            raise
        return
    raise SystemExit(f"not refused: {words}")


assert api.create_repo(repo).repo_id == repo
assert api.create_repo(repo, exist_ok=True).repo_id == repo
refused("is there already", lambda: api.create_repo(repo))
refused(
    "not YAML",
    lambda: api.upload_file(
        path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md", repo_id=repo
    ),
)

card = b"---\nlicense: mit\ntags: [demo]\n---\n# A card\n"
first = api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo)

source = Path(tempfile.mkdtemp())
dice = random.Random(0)
floats = [dice.random() for _ in range(500_000)]
files = {
    "config.json": b"{}",
    "sub dir/a b é.txt": b"x",
    "empty": b"",
    # Above what is sent within a commit; noise, zeros and floats are packed differently.
    "big.bin": dice.randbytes(9_000_000) + bytes(3_000_000) + struct.pack("<500000f", *floats),
}
for name, content in files.items():
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).write_bytes(content)
second = api.upload_folder(folder_path=source, repo_id=repo, commit_message="all of it")
folder = Path(snapshot_download(repo))
assert {name: (folder / name).read_bytes() for name in files} == files
# A client before 1.0 cannot read the address that it makes itself here, if that has a path.
if not (huggingface_hub.__version__.startswith("0.") and api.endpoint.endswith("/hub")):
    again = api.upload_folder(folder_path=source, repo_id=repo)
    assert again.oid == second.oid, "nothing has changed"

# Not by chunks, but by LFS.
data = dice.randbytes(11_000_000)
api.upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo="lfs.bin", repo_id=repo)
folder = Path(snapshot_download(repo, allow_patterns="lfs.bin"))
assert (folder / "lfs.bin").read_bytes() == data

api.create_branch(repo, branch="dev/x")
api.upload_file(path_or_fileobj=b"1", path_in_repo="only.txt", repo_id=repo, revision="dev/x")
assert api.file_exists(repo, "only.txt", revision="dev/x")
assert not api.file_exists(repo, "only.txt")
refused("already", lambda: api.create_branch(repo, branch="dev/x"))
api.create_tag(repo, tag="v1")
api.create_tag(repo, tag="v1", exist_ok=True)

api.delete_file("config.json", repo)
api.delete_folder("sub dir", repo)
assert set(api.list_repo_files(repo)) == {"README.md", "big.bin", "empty", "lfs.bin"}
assert set(api.list_repo_files(repo, revision="v1")) == {"README.md", "lfs.bin", *files}

add = [CommitOperationAdd("a", b"b")]
refused(
    "somebody has committed",
    lambda: api.create_commit(repo, add, commit_message="race", parent_commit=first.oid),
)
head = api.model_info(repo).sha
operations = [*add, CommitOperationDelete("empty"), CommitOperationCopy("big.bin", "copy.bin")]
last = api.create_commit(repo, operations, commit_message="several", parent_commit=head)
assert api.model_info(repo).sha == last.oid
assert [c.title for c in api.list_repo_commits(repo)][::-1][:3] == [
    "Begin",
    "Upload README.md with huggingface_hub",
    "all of it",
]
assert {"demo", "license:mit"} <= set(api.model_info(repo).tags)
assert repo in [m.id for m in api.list_models(filter="license:mit")]
refused(
    "cannot be the path",
    lambda: api.create_commit(repo, [CommitOperationAdd("a:b", b"")], commit_message="x"),
)

api.delete_branch(repo, branch="dev/x")
api.delete_tag(repo, tag="v1")
refs = api.list_repo_refs(repo)
assert ([ref.name for ref in refs.branches], refs.tags) == (["main"], [])
settings = getattr(api, "update_repo_settings", None) or api.update_repo_visibility
settings(repo, private=True)
assert api.model_info(repo).private
api.move_repo(repo, repo + "-2")
assert not api.repo_exists(repo)
assert api.model_info(repo + "-2").private
api.delete_repo(repo + "-2")
assert not api.repo_exists(repo + "-2")
print(json.dumps({"version": huggingface_hub.__version__, "commits": [first.oid, second.oid]}))
