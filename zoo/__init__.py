"""The zoo: what a model is, where its bytes are, and how to fetch and load it."""
