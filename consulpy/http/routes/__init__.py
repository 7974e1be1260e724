"""The HTTP API, one file for each page of its documentation."""
