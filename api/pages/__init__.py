"""The pages for people: HTML made on the server, which works without JavaScript; docs/page.md.

One file per resource, as among the routes. What a page says comes from `zoo`, how it says it from
`templates/`, and in which language from `messages/`.
"""
