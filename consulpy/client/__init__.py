"""A synchronous client of the HTTP API for the command line; standard library only, as imports delay its start."""

from consulpy.client.api import Client
from consulpy.client.connection import AnswerError, ClientError, NoAgent
from consulpy.client.settings import ClientSettings

__all__ = ["AnswerError", "Client", "ClientError", "ClientSettings", "NoAgent"]
