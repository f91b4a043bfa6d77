"""Repositories as hub clients know them: commits, branches, tags, over the store and the catalogue.

Nothing here knows HTTP. Ids are those that git would give the same content, without time and place, so
that a mirror with the same content has the same ids.
"""
