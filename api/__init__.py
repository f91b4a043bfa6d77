"""The HTTP surface: a request in, one call into `zoo`, a response out."""
