"""The services and checks of this agent, and keeping the catalog equal to them."""
