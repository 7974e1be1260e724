"""The web page's files: which one a path means, headers, and where they come from. Loaded only where `-ui` is on."""
