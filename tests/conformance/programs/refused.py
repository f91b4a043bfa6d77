"""What other hubs have and this one has not: refused in words. The argument is a model that is there."""

import json
import sys
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

(model,) = sys.argv[1:]
api = HfApi()


def refused(words, call, kind=HfHubHTTPError):
    try:
        call()
    except kind as error:
        # Clients have words of their own for what is not there, and lead users astray with them.
        absent = kind is RepositoryNotFoundError
        if words not in str(error) or isinstance(error, RepositoryNotFoundError) is not absent:
            raise
        return
    raise SystemExit(f"not refused: {words}")


pulls = "no pull requests here"
refused(pulls, lambda: api.create_discussion(model, "title", token="any"))
refused(pulls, lambda: api.create_pull_request(model, "title", token="any"))
refused(pulls, lambda: api.get_discussion_details(model, 1))
refused(
    pulls,
    lambda: api.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id=model, create_pr=True),
)
assert list(api.get_repo_discussions(model)) == []
refused("no webhooks", lambda: api.list_webhooks(token="any"))
refused("nothing is at /api/collections", lambda: list(api.list_collections(limit=1)))
refused("nobody asks", lambda: api.grant_access(model, "someone", token="any"))
refused("public or private", lambda: api.update_repo_settings(model, gated="auto"))
refused("models only", lambda: api.create_repo("org/data", repo_type="dataset"))

# Libraries look for these and go on if they are not there.
assert list(api.list_models(gated=True)) == []
assert model in [found.id for found in api.list_models(gated=False)]
assert list(api.list_datasets(limit=2)) == list(api.list_spaces(limit=2)) == []
folder = tempfile.mkdtemp()
(Path(folder) / "a").write_text("a")
other = {"repo_id": "org/data", "repo_type": "dataset"}
for call in (
    lambda: api.dataset_info("org/data"),
    lambda: api.space_info("org/data"),
    lambda: hf_hub_download(filename="x", **other),
    lambda: snapshot_download(**other),
    lambda: api.upload_folder(folder_path=folder, **other),
):
    refused("models only", call, RepositoryNotFoundError)
assert not api.repo_exists(**other)
assert not HfFileSystem().exists("datasets/org/data/x")
refused("org/model", lambda: hf_hub_download("org-less", "x"), RepositoryNotFoundError)
refused("org/model", lambda: api.model_info("org-less"), RepositoryNotFoundError)
print(json.dumps("done"))
