"""The HTTP API: routing, parameters, rendering and the routes."""
