"""The agent cache: replies of servers, kept up to date by blocking queries."""
