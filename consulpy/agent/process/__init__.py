"""The process: data directory, pid file, log files, disk thread."""
