"""gRPC on port 8300, after the first byte 8: newer client agents (Consul 1.10 and later) read service health by it.

`framing`: messages and statuses. `connection`: one HTTP/2 connection (by the library h2). `call`: one call on it.
Nothing here is imported before the first such connection.
"""
