"""The wire: every body, frame and event as a typed struct. The one source of OpenAPI and AsyncAPI."""
