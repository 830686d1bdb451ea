"""Server side of HTTP/1.1 connections: their bounds, their protocol, and answers to failures."""
