"""Access control, pure: rules, how they are compiled into an authorizer, and what identities stand for."""
