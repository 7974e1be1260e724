"""Discovery chains: how the config entries of a service decide which instances its clients reach."""
