"""Config entries as Consul stores them: values that are filled in, and what is refused. Pure."""
