"""What hub clients speak: the HTTP surface of Hugging Face and ModelScope, over `zoo.hub`.

A thin room: a request in, one call into `zoo`, a response in the client's own shape out. The facts come
from the clients' sources and from watching them on the wire; tests run the clients themselves.
"""
