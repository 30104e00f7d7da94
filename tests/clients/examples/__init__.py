"""First examples of the clients' own documentations; they run in an environment of the clients'.

A module is a client, and a function that is public is an example: it asks the served model and
asserts the form of what comes back, never its wisdom. Nothing of the gateway is imported.
"""
