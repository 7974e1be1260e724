"""The process of an agent: data directory, pid file, log, disk threads, signals to the service manager."""
