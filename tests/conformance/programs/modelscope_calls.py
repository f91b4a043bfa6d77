"""The rest of what ModelScope's client has, older or newer: arguments are a token and a repository to be made."""

import io
import json
import os
import random
import sys
import tempfile
from pathlib import Path

from modelscope.hub.api import HubApi
from modelscope.hub.file_download import model_file_download
from modelscope.hub.snapshot_download import snapshot_download

secret, repo = sys.argv[1:]
api = HubApi()


def refused(call):
    try:
        call()
    except Exception:  # it has several kinds for the same
        return
    raise SystemExit("not refused")


def below(folder):
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    names = {str(path.relative_to(folder)) for path in found}
    return {name for name in names if not name.startswith(".")}


refused(lambda: api.login("zoo_wrong"))
api.login(secret)
api.create_model(repo, visibility=1, license="MIT License")
assert api.repo_exists(repo)
assert not api.repo_exists(repo + "-none")

folder = Path(tempfile.mkdtemp())
files = {
    "config.json": b"{}",
    "a/b/c.txt": b"c",
    "with space é#%+.txt": b"s",
    "empty": b"",
    "big.bin": random.Random(repo).randbytes(12_000_000),
}
for name, content in files.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
(folder / "x.log").write_bytes(b"log")
for _ in range(2):  # the second time, all of it is there
    api.upload_folder(
        repo_id=repo, folder_path=str(folder), commit_message="all", ignore_patterns=["*.log"]
    )
api.upload_file(
    repo_id=repo, path_or_fileobj=io.BytesIO(b"s"), path_in_repo="s/1.txt", commit_message="s"
)

found = Path(snapshot_download(repo))
assert {name: (found / name).read_bytes() for name in files} == files
assert below(found) == {*files, "s/1.txt"}
some = snapshot_download(repo, allow_file_pattern=["*.json", "a/*"], local_dir=tempfile.mkdtemp())
assert below(some) == {"config.json", "a/b/c.txt"}
for revision in ("master", "main"):
    place = snapshot_download(repo, revision=revision, local_dir=tempfile.mkdtemp())
    assert below(place) == below(found)
for name in ("with space é#%+.txt", "empty", "big.bin"):
    place = model_file_download(repo, name, local_dir=tempfile.mkdtemp())
    assert Path(place).read_bytes() == files[name]
assert os.path.samefile(snapshot_download(repo, local_files_only=True), found)
refused(lambda: snapshot_download(repo, revision="nope"))
refused(lambda: model_file_download(repo, "nope.txt"))

listed = {item["Path"] for item in api.get_model_files(repo, recursive=True)}
assert listed == {*files, "s/1.txt", "a", "a/b", "s"}
assert api.list_models(repo.split("/")[0])["TotalCount"] == 1
api.create_model_tag(repo, "v9")
assert api.get_model_branches_and_tags(repo) == (["master", "main"], ["v9"])
api.delete_files(repo, "model", ["s/*.txt"])
assert "s/1.txt" not in {item["Path"] for item in api.get_model_files(repo, recursive=True)}
if hasattr(api, "set_repo_visibility"):
    api.set_repo_visibility(repo, "model", "public")
api.delete_model(repo)
assert not api.repo_exists(repo)
print(json.dumps("done"))
