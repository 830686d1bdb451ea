"""The Python SDK: HTTP and the socket, with resume and an outbox."""
