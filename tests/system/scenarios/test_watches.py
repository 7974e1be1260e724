"""Watches of the configuration: a program and a URL get each new result, once; a reload changes which."""
