import mitotools.learn  # noqa: F401 (before torch, for the setting it makes)
