"""Tokens: those of a writer and of nobody, and a model that is private."""

import json
import sys

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

secret, private = sys.argv[1:]
api, stranger = HfApi(token=secret), HfApi(token=False)


def refused(words, call, kind=HfHubHTTPError):
    try:
        call()
    except kind as error:
        if words not in str(error):
            raise
        return
    raise SystemExit(f"not refused: {words}")


who = api.whoami()
assert (who["name"], [org["name"] for org in who["orgs"]]) == ("alice", ["team"])
assert who["auth"]["accessToken"]["role"] == "write"
api.create_repo(private, private=True)
api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=private)
assert api.model_info(private).private
assert private in [m.id for m in api.list_models()]
assert private not in [m.id for m in stranger.list_models()]
refused("", lambda: stranger.model_info(private), RepositoryNotFoundError)
refused("", lambda: stranger.hf_hub_download(private, "x"), RepositoryNotFoundError)
refused("role write", lambda: stranger.create_repo("team/other"))
refused("role write", lambda: api.create_repo("elsewhere/other"))
refused("the token is unknown", lambda: HfApi(token="zoo_wrong").create_repo("team/other"))
refused("role admin", lambda: api.delete_repo(private))
print(json.dumps(who["name"]))
