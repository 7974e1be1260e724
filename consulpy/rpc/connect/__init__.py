"""Connect on a server: the certificate authority, and what signs certificates with it."""
