"""ModelScope's client: the token, a published model, and a repository to be made."""

import json
import os
import random
import sys
import tempfile

from modelscope.hub.api import HubApi
from modelscope.hub.file_download import model_file_download
from modelscope.hub.snapshot_download import snapshot_download

secret, model, repo = sys.argv[1:]
api = HubApi()
api.login(secret)
folder = snapshot_download(model)
assert os.path.getsize(folder + "/onnx/model.onnx") == 11_000_000
folder = snapshot_download(model, allow_patterns=["pytorch/*"], local_dir=tempfile.mkdtemp())
assert [name for name in os.listdir(folder) if not name.startswith(".")] == ["pytorch"]
assert model_file_download(model, "README.md").endswith("README.md")
assert os.path.getsize(model_file_download(model, "model.onnx", revision="onnx")) == 11_000_000
data = random.Random(5).randbytes(12_000_000)
place = tempfile.mkstemp()[1]
with open(place, "wb") as file:
    file.write(data)
api.upload_file(path_or_fileobj=place, path_in_repo="w/big.bin", repo_id=repo, commit_message="big")
api.upload_file(
    path_or_fileobj=b"small", path_in_repo="s.txt", repo_id=repo, commit_message="small"
)
folder = snapshot_download(repo)
with open(folder + "/w/big.bin", "rb") as file:
    assert file.read() == data
with open(folder + "/s.txt", "rb") as file:
    assert file.read() == b"small"
print(json.dumps("done"))
