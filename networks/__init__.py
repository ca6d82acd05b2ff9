"""Published networks: how they are built, where their weights come from, and files of weights."""
