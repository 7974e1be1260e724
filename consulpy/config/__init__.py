"""What the user wrote, checked and completed: flags, files and folders in, one frozen `RuntimeConfig` out."""
