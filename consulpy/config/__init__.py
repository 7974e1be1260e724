"""The configuration: flags, files and directories in, one validated, frozen `RuntimeConfig` out."""
