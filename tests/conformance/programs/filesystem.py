"""hf's file system, and what stands on it. The argument is the name of a repository to be made."""

import json
import struct
import sys
import tempfile
from pathlib import Path

from huggingface_hub import CommitScheduler, HfApi, HfFileSystem

(repo,) = sys.argv[1:]
api, fs = HfApi(), HfFileSystem()
api.create_repo(repo)


def refused(call):
    try:
        call()
    except FileNotFoundError:
        return
    raise SystemExit("not refused")


content = bytes(range(256)) * 1000
with fs.open(f"{repo}/a/x.txt", "w") as file:
    file.write("hello")
with fs.open(f"{repo}/a/b/y.bin", "wb") as file:
    file.write(content)
fs.pipe(f"{repo}/z.txt", b"zzz")
assert {item["name"]: item["type"] for item in fs.ls(f"{repo}/a")} == {
    f"{repo}/a/x.txt": "file",
    f"{repo}/a/b": "directory",
}
assert fs.glob(f"{repo}/**/*.bin") == [f"{repo}/a/b/y.bin"]
assert fs.find(repo) == [f"{repo}/a/b/y.bin", f"{repo}/a/x.txt", f"{repo}/z.txt"]
assert [names for _, _, names in fs.walk(repo)] == [["z.txt"], ["x.txt"], ["y.bin"]]
assert fs.du(repo) == len(content) + 8
assert fs.isdir(f"{repo}/a")
assert not fs.exists(f"{repo}/nope")

# Seeks become ranges.
with fs.open(f"{repo}/a/b/y.bin", block_size=1000) as file:
    file.seek(5000)
    assert (file.size, file.read(5)) == (len(content), content[5000:5005])
    file.seek(-3, 2)
    assert file.read() == content[-3:]
assert fs.cat_file(f"{repo}/a/b/y.bin", start=10, end=20) == content[10:20]

api.create_branch(repo, branch="dev/x")
fs.pipe(f"{repo}@dev%2Fx/only.txt", b"there")
assert fs.cat(f"{repo}@dev%2Fx/only.txt") == b"there"
assert not fs.exists(f"{repo}/only.txt")

fs.cp_file(f"{repo}/a/x.txt", f"{repo}/copied.txt")
fs.mv(f"{repo}/copied.txt", f"{repo}/moved.txt")
assert fs.cat(f"{repo}/moved.txt") == b"hello"
folder = tempfile.mkdtemp()
fs.get(f"{repo}/a", f"{folder}/got", recursive=True)
assert Path(folder, "got/b/y.bin").read_bytes() == content
fs.put(f"{folder}/got", f"{repo}/put", recursive=True)
fs.rm(f"{repo}/moved.txt")
fs.rm(f"{repo}/a", recursive=True)
assert fs.find(repo) == [f"{repo}/put/b/y.bin", f"{repo}/put/x.txt", f"{repo}/z.txt"]
for missing in (f"{repo}/nope", f"{repo}@nope/z.txt", "nobody/nothing/x"):
    refused(lambda path=missing: fs.cat(path))

# The heads of files with weights are read by ranges, also those that are longer than one.
shape = {"dtype": "F32", "shape": [1]}
for name, count in (("model.safetensors", 3), ("long.safetensors", 4000)):
    tensors = {
        f"tensor {i} of many": {**shape, "data_offsets": [4 * i, 4 * i + 4]} for i in range(count)
    }
    head = json.dumps(tensors).encode()
    fs.pipe(f"{repo}/{name}", struct.pack("<Q", len(head)) + head + bytes(4 * count))
    assert api.parse_safetensors_file_metadata(repo, name).parameter_count == {"F32": count}
assert api.get_safetensors_metadata(repo).parameter_count == {"F32": 3}

logs = Path(tempfile.mkdtemp())
scheduler = CommitScheduler(repo_id=repo, folder_path=logs, path_in_repo="logs")
for line in ("1", "12"):
    (logs / "log").write_text(line)
    scheduler.trigger().result()
scheduler.stop()
assert HfFileSystem(skip_instance_cache=True).cat(f"{repo}/logs/log") == b"12"
print(json.dumps("done"))
