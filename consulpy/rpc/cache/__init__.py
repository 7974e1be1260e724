"""The agent cache: replies of servers, refreshed by blocking queries."""
