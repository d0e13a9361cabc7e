"""A login server on window messages: accounts, Argon2id passwords, tokens, limits.

README.md in this folder has the protocol and the options; ``python -m examples.login_server``
starts it, ``python -m examples.login_server.demo`` shows it.
"""
