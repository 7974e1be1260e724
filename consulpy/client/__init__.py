"""A small synchronous client of the HTTP API, on the standard library alone: the command line must start quickly."""

from consulpy.client.api import Client
from consulpy.client.connection import AnswerError, ClientError, NoAgent
from consulpy.client.settings import ClientSettings

__all__ = ["AnswerError", "Client", "ClientError", "ClientSettings", "NoAgent"]
