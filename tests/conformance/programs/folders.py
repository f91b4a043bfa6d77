"""Folders with all kinds of names, and with many files. The argument is the name of a repository to be made."""

import io
import json
import sys
import tempfile
import threading
from pathlib import Path

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import HfHubHTTPError

(repo,) = sys.argv[1:]
api = HfApi()
api.create_repo(repo)


def folder_of(files):
    folder = Path(tempfile.mkdtemp())
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


names = ["with space.txt", "ünï/cödé ☃.txt", "per%cent%20.txt", "ha#sh.txt", "pl+us.txt", "a&b=c;d.txt", "q@x,y.txt",
         "[br].txt", "quote'.txt", "(p)!$~^`{}.txt", "a/b/c/d/e/f/g/h/i/j/k.txt", ".gitattributes", "dot/.hidden",
         "日本語/模型.bin", "empty"]  # fmt: skip
files = {name: b"" if name == "empty" else name.encode() for name in names}
api.upload_folder(folder_path=folder_of(files), repo_id=repo)
assert set(names) == set(api.list_repo_files(repo))
assert len(api.get_paths_info(repo, names)) == len(names)
folder = Path(snapshot_download(repo))
for name, content in files.items():
    assert Path(hf_hub_download(repo, name, force_download=True)).read_bytes() == content
    assert (folder / name).read_bytes() == content
    assert try_to_load_from_cache(repo, name) is not None
    if "/" in name:
        assert list(api.list_repo_tree(repo, name.rpartition("/")[0]))


def refused(name):
    try:
        api.create_commit(repo, [CommitOperationAdd(name, b"")], commit_message="x")
    except (HfHubHTTPError, ValueError) as error:
        # Some names are refused by the client itself.
        return "cannot be the path" in str(error) or "Invalid" in str(error)
    return False


assert all(map(refused, ("a?b", "a:b", "nul.txt", "trailing.", "a\\b", "x/.git/config")))
operations = [CommitOperationCopy(names[1], "copy"), *map(CommitOperationDelete, names)]
api.create_commit(repo, operations, commit_message="all of them")
assert api.list_repo_files(repo) == ["copy"]

# More than a page of them.
many = {f"d{i % 7}/s{i % 3}/f{i}.txt": str(i).encode() for i in range(1300)}
api.upload_folder(folder_path=folder_of(many), repo_id=repo, path_in_repo="many")
tree = list(api.list_repo_tree(repo, "many", recursive=True))
assert len(tree) == len({item.path for item in tree}) == 1300 + 7 + 21
detailed = list(api.list_repo_tree(repo, "many", recursive=True, expand=True))
assert [item.path for item in detailed] == [item.path for item in tree]
assert all(item.last_commit for item in detailed)
api.delete_files(repo, ["many/d1/*", "many/d2/s0/*"])
left = {name for name in many if not name.startswith(("d1/", "d2/s0/"))}
assert {path.removeprefix("many/") for path in api.list_repo_files(repo)} == {*left, "copy"}

# What git would not add stays at home, by the commit's .gitignore and then by the one that is there.
secret = {".env": b"key", "deep/.env": b"key", "keep.env": b"", "build/x": b"", "w.bin": b"w"}
rules = {".gitignore": b".env\nbuild/\n"}
api.create_repo(repo + "-ignoring")
api.upload_folder(folder_path=folder_of({**secret, **rules}), repo_id=repo + "-ignoring")
kept = {".gitattributes", ".gitignore", "keep.env", "w.bin"}
assert set(api.list_repo_files(repo + "-ignoring")) <= kept, api.list_repo_files(repo + "-ignoring")
api.upload_folder(folder_path=folder_of({**secret, "new": b""}), repo_id=repo + "-ignoring")
assert set(api.list_repo_files(repo + "-ignoring")) - kept == {"new"}

# A folder that was fetched before follows what has changed.
local = tempfile.mkdtemp()
api.upload_folder(folder_path=folder_of({"1": b"1", "2": b"2"}), repo_id=repo, path_in_repo="l")
before = api.model_info(repo).sha
snapshot_download(repo, local_dir=local, allow_patterns="l/*")
change = {"folder_path": folder_of({"1": b"changed"}), "repo_id": repo, "path_in_repo": "l"}
api.upload_folder(**change, delete_patterns="2")
snapshot_download(repo, local_dir=local, allow_patterns="l/*")
assert Path(local, "l/1").read_bytes() == b"changed"
snapshot_download(repo, local_dir=local, allow_patterns="l/*", revision=before)
assert Path(local, "l/1").read_bytes() == b"1"

# Several at once: each gets in, and the same bytes are one file.
failures, data = [], bytes(range(256)) * 45_000


def upload(number):
    try:
        for what, place in ((str(number).encode(), "small"), (data, "large")):
            given = io.BytesIO(what) if number % 2 else what
            api.upload_file(path_or_fileobj=given, path_in_repo=f"{place}/{number}", repo_id=repo)
    except HfHubHTTPError as error:
        failures.append(str(error))


threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
assert (
    len([path for path in api.list_repo_files(repo) if path.startswith(("small/", "large/"))]) == 8
)
assert api.run_as_future(api.file_exists, repo, "large/3").result()
print(json.dumps("done"))
