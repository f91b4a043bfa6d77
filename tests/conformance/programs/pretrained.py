"""`from_pretrained` by name: arguments are the folder of a model, and the repository to be made of it."""

import json
import sys

import torch
from huggingface_hub import HfApi
from transformers import AutoModel, AutoTokenizer, pipeline

folder, repo = sys.argv[1:]
api = HfApi()
api.create_repo(repo)
api.upload_folder(folder_path=folder, repo_id=repo)
numbers = []
for place in (folder, repo):
    tokens = AutoTokenizer.from_pretrained(place)("A zoo of models.", return_tensors="pt")
    with torch.no_grad():
        numbers.append(AutoModel.from_pretrained(place).eval()(**tokens).last_hidden_state)
assert torch.equal(*numbers)
# What it is for stands in its configuration.
assert pipeline(model=repo).task == "feature-extraction"
print(json.dumps(list(numbers[0].shape)))
