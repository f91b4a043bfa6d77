"""Everything that reads: arguments are the model, and one that is not there."""

import json
import os
import sys
import tempfile

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.utils import (
    EntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

model, missing = sys.argv[1:]
api = HfApi()


def refused(kind, call):
    try:
        call()
    except kind:
        return
    raise SystemExit(f"{kind.__name__} was not raised")


def below(folder):
    return {os.path.relpath(os.path.join(at, name), folder).replace(os.sep, "/")
            for at, _, names in os.walk(folder) for name in names if ".cache" not in at}  # fmt: skip


info = api.model_info(model, files_metadata=True)
assert len(info.sha) == 40
assert info.pipeline_tag == "text-recognition", info
assert info.card_data.license == "apache-2.0"
assert {"onnx", "pytorch", "license:apache-2.0"} <= set(info.tags), info.tags
sizes = {item.rfilename: (item.size, item.lfs is not None) for item in info.siblings}
assert sizes["onnx/model.onnx"] == (11_000_000, True)
assert sizes["onnx/sub/one.txt"] == (1, False)

files = set(api.list_repo_files(model))
form = {"README.md", "model.onnx", "sub/one.txt", "manifest.json"}
assert files == {
    "README.md",
    *(f"onnx/{name}" for name in form - {"README.md"}),
    "pytorch/model.py",
    "pytorch/manifest.json",
}
for revision in ("onnx", "refs/convert/onnx"):
    assert set(api.list_repo_files(model, revision=revision)) == form
assert [item.path for item in api.list_repo_tree(model, "onnx/sub")] == ["onnx/sub/one.txt"]
assert {item.path for item in api.list_repo_tree(model)} == {"README.md", "onnx", "pytorch"}
refs = api.list_repo_refs(model)
assert [ref.name for ref in refs.tags] == ["1.0.0"]
assert [ref.ref for ref in refs.converts] == ["refs/convert/onnx", "refs/convert/pytorch"]
assert [commit.title for commit in api.list_repo_commits(model)] == ["Publish 1.0.0"]
found = api.get_paths_info(model, ["README.md", "onnx", "nope"], expand=True)
assert sorted(item.path for item in found) == ["README.md", "onnx"]
assert api.file_exists(model, "README.md")
assert not api.file_exists(model, "nope")
assert api.repo_exists(model)
assert not api.repo_exists(missing)
assert api.revision_exists(model, "1.0.0")
assert not api.revision_exists(model, "2.0.0")

path = hf_hub_download(model, "onnx/model.onnx")
assert os.path.getsize(path) == 11_000_000
folder = snapshot_download(model, allow_patterns="pytorch/*")
assert "pytorch/model.py" in below(folder)
assert below(snapshot_download(model, local_dir=tempfile.mkdtemp())) == files
assert below(snapshot_download(model, revision="onnx")) == form
# The cache answers without the server.
assert snapshot_download(model, allow_patterns="pytorch/*", local_files_only=True) == folder
assert hf_hub_download(model, "sub/one.txt", revision=api.model_info(model, revision="onnx").sha)

refused(EntryNotFoundError, lambda: hf_hub_download(model, "nope"))
refused(RepositoryNotFoundError, lambda: hf_hub_download(missing, "config.json"))
refused(RevisionNotFoundError, lambda: hf_hub_download(model, "README.md", revision="nope"))

org = model.split("/")[0]
assert model in [m.id for m in api.list_models(author=org)]
assert [
    m.id for m in api.list_models(author=org, search=model.split("/")[1], filter=["onnx", "ocr"])
] == [model]
assert list(api.list_models(author=org, filter="jax")) == []
assert next(iter(api.list_models(author=org, sort="created_at", limit=1, full=True))).id
print(json.dumps({"sha": info.sha, "oids": [s.blob_id for s in info.siblings]}))
