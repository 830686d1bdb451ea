"""WebSocket connections: from bytes to frames, from frames to the rules."""
