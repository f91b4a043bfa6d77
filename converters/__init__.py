"""Conversion between frameworks, as a library: bytes and graphs in, bytes and source out.

Nothing here knows of a registry or a server, and no framework is imported by this package itself:
each framework runs in a process of its own (`converters.runtimes`).
"""

__version__ = "0.1.0"
